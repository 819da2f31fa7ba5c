/** Cloud Storage's errors by HTTP status: the JSON API's reason and text, the XML API's code. */
const rows = {
  304: {reason: 'notModified', message: 'Not Modified', code: 'NotModified'},
  400: {reason: 'invalid', message: 'Bad Request', code: 'InvalidArgument'},
  401: {reason: 'authError', message: 'Invalid Credentials', code: 'AuthenticationRequired'},
  403: {reason: 'forbidden', message: 'Forbidden', code: 'AccessDenied'},
  404: {reason: 'notFound', message: 'Not Found', code: 'NoSuchKey'},
  405: {reason: 'methodNotAllowed', message: 'Method Not Allowed', code: 'MethodNotAllowed'},
  408: {reason: 'uploadBrokenConnection', message: 'Request timeout', code: 'RequestTimeout'},
  409: {reason: 'conflict', message: 'Conflict', code: 'Conflict'},
  410: {reason: 'gone', message: 'Gone', code: 'Gone'},
  412: {
    reason: 'conditionNotMet',
    message: 'At least one of the pre-conditions you specified did not hold.',
    code: 'PreconditionFailed',
  },
  416: {
    reason: 'requestedRangeNotSatisfiable',
    message: 'Request range not satisfiable',
    code: 'InvalidRange',
  },
  429: {
    reason: 'rateLimitExceeded',
    message: 'The request rate is too high. Reduce it and try again.',
    code: 'SlowDown',
  },
  499: {reason: 'cancelled', message: 'Client Closed Request', code: 'ClientClosedRequest'},
  500: {reason: 'backendError', message: 'Backend Error', code: 'InternalError'},
  502: {reason: 'badGateway', message: 'Bad Gateway', code: 'BadGateway'},
  503: {
    reason: 'backendError',
    message: 'We encountered an internal error. Please try again.',
    code: 'ServiceUnavailable',
  },
  504: {reason: 'gatewayTimeout', message: 'Gateway Timeout', code: 'GatewayTimeout'},
} as const

/** The error format of the API: JSON, plain text for a media download, or the XML API's document. */
export type ErrorForm = 'json' | 'text' | 'xml'

/** An error that Cloud Storage would answer: its status, reason and text. */
export class StorageError extends Error {
  readonly status: number
  readonly headers: Record<string, string>

  constructor(status: number, message?: string, headers: Record<string, string> = {}) {
    super(message ?? rowOf(status).message)
    this.name = 'StorageError'
    this.status = status
    this.headers = headers
  }
}

/** The body of `error` in `form`, with its content type. 304 has none. */
export function errorBody(error: StorageError, form: ErrorForm): {type: string; text: string} {
  if (error.status === 304) return {type: 'text/html; charset=UTF-8', text: ''}
  return bodies[form](error)
}

const bodies = {
  json({status, message}) {
    const {reason} = rowOf(status)
    const errors = [{message, domain: 'global', reason}]
    return {
      type: 'application/json; charset=UTF-8',
      text: JSON.stringify({error: {code: status, message, errors}}),
    }
  },
  // For alt=media, Google answers only the text, even in the JSON API.
  text: ({message}) => ({type: 'text/html; charset=UTF-8', text: message}),
  xml({status, message}) {
    const text = `<?xml version='1.0' encoding='UTF-8'?><Error><Code>${rowOf(status).code}</Code><Message>${xmlEscaped(message)}</Message></Error>`
    return {type: 'application/xml; charset=UTF-8', text}
  },
} satisfies Record<ErrorForm, (error: StorageError) => {type: string; text: string}>

function rowOf(status: number): {reason: string; message: string; code: string} {
  if (status in rows) return rows[status as keyof typeof rows]
  return {reason: 'unknown', message: `HTTP status ${status}`, code: 'Unknown'}
}

function xmlEscaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
