import {unauthenticated} from './refusals.ts'

/** A token taken apart: nothing of it has been verified. */
export interface UnverifiedToken {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** The most characters of a token: proxies take no longer header. */
const maxLength = 8192

/** The most objects and arrays inside each other. */
const maxDepth = 16

/** Types of tokens that say who calls. Others, such as `logout+jwt`, have the same issuer and another purpose. */
const types: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt'])

/**
 * Takes a signed token apart, as strictly as one can: each signed text has one form.
 * @throws {Fault} 401 for what is none
 */
export function readToken(text: string): UnverifiedToken {
  if (text.length > maxLength) throw unauthenticated(`the token has more than ${maxLength} characters`)
  const parts = text.split('.')
  if (parts.length !== 3) throw unauthenticated('the token is no signed JWT')
  const [header, claims] = parts.map(bytesOf).slice(0, 2).map(objectIn) as [Parsed, Parsed]
  const {typ = 'JWT', cty} = header
  if (typeof typ !== 'string' || !types.has(typ.toLowerCase())) throw unauthenticated('the token has another type')
  if (cty !== undefined) throw unauthenticated('the token holds another token')
  return {header, claims}
}

type Parsed = Readonly<Record<string, unknown>>

/** @throws {Fault} 401 for base64url that has bits or characters to spare */
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
    return JSON.parse(text)
  } catch {
    throw unauthenticated('the token is no JSON')
  }
}

/** How many members all objects in `value` have together. */
function membersOf(value: object, depth = 1): number {
  if (depth > maxDepth) throw unauthenticated(`the token nests more than ${maxDepth} objects`)
  const own = Array.isArray(value) ? 0 : Object.keys(value).length
  const inner = Object.values(value).filter((item): item is object => typeof item === 'object' && item !== null)
  return inner.reduce((sum, item) => sum + membersOf(item, depth + 1), own)
}

/** How many members stand in the text of valid JSON: each has one colon outside of strings. */
function writtenMembers(json: string): number {
  return json.replace(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1
}
