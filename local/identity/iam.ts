import type {IncomingHttpHeaders, ServerHttp2Stream} from 'node:http2'
import {errors, jwtVerify} from 'jose'
import type {Authority} from './id-tokens.ts'

/** A refused request, and the reason. */
export interface Refusal {
  status: 401 | 403 | 503
  reason: string
  path: string
}

export interface IamOptions {
  authority: Authority
  /** The audiences that a token may have. */
  audiences: readonly string[]
  /** The accounts with roles/run.invoker; default: every account with a valid token. */
  invokers?: readonly string[] | undefined
}

/** Limit for the cached valid tokens. Beyond it the cache is cleared, so that tokens are verified again. */
const maxRemembered = 1000

/** The IAM check of Cloud Run's front end: a call needs an ID token for the service. */
export class Iam {
  /** The accounts with roles/run.invoker; undefined: every account with a valid token. */
  invokers: readonly string[] | undefined
  audiences: readonly string[]
  /** The time in ms by which tokens expire. */
  now: () => number = Date.now
  /** The refused calls, the latest last. */
  readonly refusals: Refusal[] = []
  readonly #authority: Authority
  readonly #remembered = new Map<string, {email: string; expiresAt: number}>()

  constructor({authority, audiences, invokers}: IamOptions) {
    this.#authority = authority
    this.audiences = audiences
    this.invokers = invokers
  }

  /** The reason to refuse the request; undefined if it may pass. Synchronous for a cached token. */
  check(headers: IncomingHttpHeaders): Refusal | undefined | Promise<Refusal | undefined> {
    const path = String(headers[':path'])
    const token = bearer(headers)
    if (!token) return this.#refuse({status: 401, reason: 'no ID token', path})
    const known = this.#remembered.get(token)
    if (known && known.expiresAt > this.now()) return this.#admit(known.email, path)
    return this.#verify(token).then(
      (email) => this.#admit(email, path),
      (error: unknown) => this.#refuse({...refusalOf(error), path}),
    )
  }

  async #verify(token: string): Promise<string> {
    const {issuer, keys} = this.#authority
    const {payload} = await jwtVerify(token, keys, {
      algorithms: ['RS256'],
      audience: [...this.audiences],
      currentDate: new Date(this.now()),
      issuer,
      requiredClaims: ['exp'],
    })
    const email = String(payload.email)
    if (this.#remembered.size >= maxRemembered) this.#remembered.clear()
    this.#remembered.set(token, {email, expiresAt: Number(payload.exp) * 1000})
    return email
  }

  #admit(email: string, path: string): Refusal | undefined {
    if (!this.invokers || this.invokers.includes(email)) return undefined
    return this.#refuse({status: 403, reason: `"${email}" lacks roles/run.invoker`, path})
  }

  #refuse(refusal: Refusal): Refusal {
    this.refusals.push(refusal)
    return refusal
  }
}

/** Answers as Cloud Run's front end does: a web page and no trailers. The connection lives on. */
export function refuse(stream: ServerHttp2Stream, {status, path}: Refusal): void {
  const {title, sentence, challenge} = pages[status]
  const body = page(`${status} ${title}`, title, sentence.replace('{path}', escaped(path)))
  stream.respond({
    ':status': status,
    ...(challenge && {'www-authenticate': challenge}),
    'content-type': 'text/html; charset=UTF-8',
    'content-length': Buffer.byteLength(body),
    server: 'Google Frontend',
  })
  stream.end(body)
  // The caller may still be sending. Its data is read and dropped, so that flow control does not block. Once the answer is sent, the
  // stream is reset with NO_ERROR, so that the answer remains valid.
  stream.resume()
  stream.once('finish', () => stream.close())
}

const pages = {
  401: {
    title: 'Unauthorized',
    sentence: 'Your client does not have permission to the requested URL <code>{path}</code>.',
    challenge: 'Bearer error="invalid_token" error_description="The access token could not be verified"',
  },
  403: {
    title: 'Forbidden',
    sentence: 'Your client does not have permission to get URL <code>{path}</code> from this server.',
    challenge:
      'Bearer error="insufficient_scope" error_description="The principal lacks the permission run.routes.invoke"',
  },
  503: {title: 'Server Error', sentence: 'The service you requested is not available yet.', challenge: undefined},
} as const satisfies Record<Refusal['status'], {title: string; sentence: string; challenge: string | undefined}>

function page(title: string, heading: string, sentence: string): string {
  return `
<html><head>
<meta http-equiv="content-type" content="text/html;charset=utf-8">
<title>${title}</title>
</head>
<body text=#000000 bgcolor=#ffffff>
<h1>Error: ${heading}</h1>
<h2>${sentence}</h2>
<h2></h2>
</body></html>
`
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** Cloud Run checks X-Serverless-Authorization first, and then leaves Authorization to the service. */
function bearer(headers: IncomingHttpHeaders): string | undefined {
  const header = headers['x-serverless-authorization'] ?? headers.authorization
  return /^bearer +(\S+)$/i.exec(String(header ?? ''))?.[1]
}

/** A bad token is 401; keys that cannot be fetched are 503. */
function refusalOf(error: unknown): Pick<Refusal, 'status' | 'reason'> {
  const reason = error instanceof Error ? error.message : String(error)
  const hasNoKeys = !(error instanceof errors.JOSEError) || error instanceof errors.JWKSTimeout
  return {status: hasNoKeys ? 503 : 401, reason}
}
