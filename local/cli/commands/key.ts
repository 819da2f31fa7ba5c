import {createHash, randomBytes} from 'node:crypto'
import {CommandError, type OutputOptions, print} from '../output.ts'

/**
 * Prints a new API key, and its line for the file that AUTH_API_KEYS names.
 * @param name who gets it
 * @param methods which methods it may call: all unless given
 */
export function key(name: string, methods = '*', options: OutputOptions = {}): void {
  if (!name || /[\s#]/.test(name) || /\s/.test(methods)) {
    throw new CommandError(
      'Cannot make a key: expected NAME [pkg.Service/Method,pkg.Service/Method], without spaces',
      2,
    )
  }
  const made = makeKey(name, methods)
  print(options, made, `key   ${made.key}\nline  ${made.line}`)
  console.error(
    'The key is for the caller, who sends it in x-api-key, and is kept nowhere. The line is for the file of AUTH_API_KEYS.',
  )
}

/** A new key, and its line for the file. */
export function makeKey(name: string, methods: string): {key: string; line: string} {
  const key = randomBytes(32).toString('base64url')
  return {key, line: `${createHash('sha256').update(key).digest('hex')} ${name} ${methods}`}
}
