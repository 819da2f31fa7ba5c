import {createHmac, timingSafeEqual} from 'node:crypto'
import {readFileSync} from 'node:fs'
import {readFile} from 'node:fs/promises'
import {frozen, type WebhookCaller} from '../core/caller.ts'
import type {WebhookConfig} from '../core/config.ts'
import {ConfigError} from '../core/settings.ts'
import {unauthenticated} from './refusals.ts'

/** Tolerance for a signed timestamp in either direction, in seconds. */
const tolerance = 300

/** The parts of a request that are signed. */
export interface Signed {
  header(name: string): string | undefined
  /** The body as received. */
  readonly body: Buffer
}

/** The signed text, and the signatures in the header. */
interface Claim {
  readonly text: readonly (string | Buffer)[]
  readonly signatures: readonly string[]
  /** In seconds since the epoch. */
  readonly timestamp?: number
}

/**
 * @see https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
 * @see https://docs.stripe.com/webhooks/signature
 * @see https://docs.slack.dev/authentication/verifying-requests-from-slack
 */
const forms = {
  github: (signature, {body}) => ({text: [body], signatures: [afterPrefix('sha256=', signature)]}),
  stripe(signature, {body}) {
    const parts = signature.split(',').map((part) => part.trim().split('=', 2))
    const valuesOf = (key: string) => parts.filter(([name]) => name === key).map(([, value = '']) => value)
    const [time = ''] = valuesOf('t')
    return {text: [`${time}.`, body], signatures: valuesOf('v1'), timestamp: timestampIn(time)}
  },
  slack(signature, {header, body}) {
    const time = header('x-slack-request-timestamp') ?? ''
    const text = [`v0:${time}:`, body]
    return {text, signatures: [afterPrefix('v0=', signature)], timestamp: timestampIn(time)}
  },
  plain: (signature, {body}) => ({text: [body], signatures: [signature]}),
} as const satisfies Record<WebhookConfig['form'], (signature: string, signed: Signed) => Claim>

/** Checks the signatures of one service. */
export class Webhook {
  readonly header: string
  readonly #config: WebhookConfig
  #secrets: readonly string[]

  /** @throws {ConfigError} for a file of secrets that cannot be read, or is empty */
  constructor(config: WebhookConfig) {
    this.#config = config
    this.header = config.header
    try {
      this.#secrets = secretsIn(readFileSync(config.secret, 'utf8'))
    } catch (error) {
      throw new ConfigError(`AUTH_WEBHOOK: secret="${config.secret}": expected a secret: ${(error as Error).message}`)
    }
  }

  /**
   * The service that has signed `signed`.
   * @throws {Fault} 401
   */
  async callerOf(signature: string, signed: Signed): Promise<WebhookCaller> {
    const {form, algorithm, encoding, secret, target} = this.#config
    const {text, signatures, timestamp} = forms[form](signature, signed) as Claim
    if (timestamp !== undefined && !(Math.abs(Date.now() / 1000 - timestamp) <= tolerance))
      throw unauthenticated('the timestamp of the webhook is missing, too old, or too far ahead')
    // Read for each request, so that a new secret is used at once. If the file cannot be read, the last contents are used.
    this.#secrets = await readFile(secret, 'utf8')
      .then(secretsIn)
      .catch(() => this.#secrets)
    // Compared as text: a digest has only one text form.
    const given = signatures.map((one) => Buffer.from(encoding === 'hex' ? one.toLowerCase() : one))
    let isSigned = false
    for (const key of this.#secrets) {
      const hmac = createHmac(algorithm, key)
      for (const part of text) hmac.update(part)
      const expected = Buffer.from(hmac.digest(encoding))
      for (const one of given) if (one.length === expected.length && timingSafeEqual(one, expected)) isSigned = true
    }
    if (!isSigned) throw unauthenticated(`the signature in ${this.header} does not match`)
    return frozen({kind: 'webhook', name: target})
  }
}

function secretsIn(text: string): readonly string[] {
  const secrets = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter(Boolean)
  if (secrets.length === 0) throw new Error('the file is empty')
  return secrets
}

function afterPrefix(prefix: string, signature: string): string {
  return signature.startsWith(prefix) ? signature.slice(prefix.length) : ''
}

function timestampIn(text: string): number {
  return /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN
}
