import {RenamedKeys} from '../core/renamed-keys.ts'
import {unauthenticated} from './refusals.ts'

/** A decoded token that has not been verified. */
export interface UnverifiedToken {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** Limit for a token, in characters. Proxies do not accept longer headers. */
const maxLength = 8192

/** Limit for nested objects and arrays. */
const maxDepth = 16

/** Types of access and ID tokens. Tokens of other types, such as `logout+jwt`, come from the same issuers for other purposes. */
const types: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt'])

/**
 * Decodes a signed token strictly: only the canonical encoding is accepted.
 * @throws {Fault} 401 for a malformed token
 */
export function readToken(text: string): UnverifiedToken {
  if (text.length > maxLength) throw unauthenticated(`the token has more than ${maxLength} characters`)
  const parts = text.split('.')
  if (parts.length !== 3) throw unauthenticated('the token is not a signed JWT')
  const [header, claims] = parts.map(bytesOf).slice(0, 2).map(objectIn) as [Parsed, Parsed]
  const {typ = 'JWT', cty} = header
  if (typeof typ !== 'string' || !types.has(typ.toLowerCase())) throw unauthenticated('the token has another type')
  if (cty !== undefined) throw unauthenticated('the token holds another token')
  return {header, claims}
}

type Parsed = Readonly<Record<string, unknown>>

/** @throws {Fault} 401 for base64url with superfluous bits or characters */
function bytesOf(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (part === '' || bytes.toString('base64url') !== part) throw unauthenticated('the token is not in base64url')
  return bytes
}

function objectIn(bytes: Buffer): Parsed {
  const text = bytes.toString()
  const value = parsed(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unauthenticated('the token is no JSON')
  if (membersOf(value) !== writtenMembers(text)) throw unauthenticated('a claim of the token is there twice')
  return value as Parsed
}

function parsed(text: string): unknown {
  try {
    const value = JSON.parse(text)
    const renamed = RenamedKeys.of(text)
    return renamed ? JSON.parse(renamed.in(text), (_key, value) => renamed.restored(value)) : value
  } catch {
    throw unauthenticated('the token is no JSON')
  }
}

/** The number of members of all objects in `value` together. */
function membersOf(value: object, depth = 1): number {
  if (depth > maxDepth) throw unauthenticated(`the token nests more than ${maxDepth} objects`)
  const own = Array.isArray(value) ? 0 : Object.keys(value).length
  const inner = Object.values(value).filter((item): item is object => typeof item === 'object' && item !== null)
  return inner.reduce((sum, item) => sum + membersOf(item, depth + 1), own)
}

/** The number of members in the text of valid JSON: each has one colon outside of strings. */
function writtenMembers(json: string): number {
  return json.replace(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1
}
