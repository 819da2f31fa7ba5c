import {createHash, randomBytes} from 'node:crypto'

/** `npm run key -- NAME [methods]`: a new API key, and its line for the file that AUTH_API_KEYS names. */
const [name, methods = '*'] = process.argv.slice(2)
if (!name || /[\s#]/.test(name) || /\s/.test(methods)) {
  console.error('npm run key -- NAME [pkg.Service/Method,pkg.Service/Method]: expected a name without spaces')
  process.exit(1)
}
const key = randomBytes(32).toString('base64url')
console.log(`key   ${key}`)
console.log(`line  ${createHash('sha256').update(key).digest('hex')} ${name} ${methods}`)
console.error(
  'The key is for the caller, who sends it in x-api-key, and is kept nowhere. The line is for the file of AUTH_API_KEYS.',
)
