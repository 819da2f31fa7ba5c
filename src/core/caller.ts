/** Claims of a verified token (RFC 7519, 4). */
export interface Claims {
  readonly [claim: string]: unknown
}

/** A caller with a token that its issuer signed. */
export interface TokenCaller {
  readonly kind: 'token'
  /** The claim `sub`: the issuer's permanent identifier of the user. */
  readonly subject: string
  /** The claim `iss`, one of AUTH_ISSUERS. */
  readonly issuer: string
  readonly claims: Claims
}

/** A caller with a key of AUTH_API_KEYS. */
export interface KeyCaller {
  readonly kind: 'key'
  /** The name that the file gives the key. */
  readonly name: string
  /** The methods that its line names. */
  readonly methods: readonly string[]
}

/** A service that signs its requests: a row of AUTH_WEBHOOK. */
export interface WebhookCaller {
  readonly kind: 'webhook'
  /** The path or method of its row. */
  readonly name: string
}

/** The verified sender of a request. */
export type Caller = TokenCaller | KeyCaller | WebhookCaller

/** The log fields about `caller`. */
export function callerFields(caller: Caller): Record<string, string> {
  return caller.kind === 'token' ? {subject: caller.subject, issuer: caller.issuer} : {[caller.kind]: caller.name}
}

const encoded = new WeakMap<Caller, Buffer>()

/** The claims of `caller` as JSON in UTF-8, made once. For a key or a webhook it is the name: `{"key": …}`. */
export function claimsBytes(caller: Caller): Buffer {
  let bytes = encoded.get(caller)
  if (!bytes) {
    bytes = Buffer.from(JSON.stringify(caller.kind === 'token' ? caller.claims : callerFields(caller)))
    encoded.set(caller, bytes)
  }
  return bytes
}

/** `value`, which nobody can change any more: all requests of one caller share it. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) frozen(part)
  return Object.freeze(value)
}
