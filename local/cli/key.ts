import {createHash, randomBytes} from 'node:crypto'

/**
 * Prints a new API key, and its line for the file that AUTH_API_KEYS names.
 * @param args the name of who gets it, and which methods it may call: all unless given
 * @param command what the person wrote before the arguments, for the help
 */
export function key([name, methods = '*']: readonly string[], command: string): void {
  if (!name || /[\s#]/.test(name) || /\s/.test(methods)) {
    console.error(`${command} NAME [pkg.Service/Method,pkg.Service/Method]: expected a name without spaces`)
    process.exitCode = 1
    return
  }
  const key = randomBytes(32).toString('base64url')
  console.log(`key   ${key}`)
  console.log(`line  ${createHash('sha256').update(key).digest('hex')} ${name} ${methods}`)
  console.error(
    'The key is for the caller, who sends it in x-api-key, and is kept nowhere. The line is for the file of AUTH_API_KEYS.',
  )
}
