import {addedServices, samples} from './added-services.ts'
import {type FunctionsProcess, freePort, startFunctions} from './functions.ts'
import {endWithNpm} from './parent.ts'
import {putSamples} from './samples.ts'
import {ownOrigins, portOf} from './serving.ts'
import {type Stack, sampleBucket, startStack} from './stack.ts'

/** `npm start`: the local stack, and the function `app` in front of it. */
const help = `npm start: serves the functions on PORT (8080) of this machine alone, with a local stack behind them.

What the environment names is not started: BACKEND_URL (gRPC services), STORAGE_EMULATOR_HOST (Storage),
GCE_METADATA_HOST (metadata server). Ctrl-C ends all of it.`

if (process.argv.includes('--help')) {
  console.log(help)
  process.exit(0)
}

/** The audience of tokens for the functions. */
const audience = 'local'

let stack: Stack | undefined
let functions: FunctionsProcess | undefined
let stopping = false

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal))
endWithNpm(() => stop('SIGTERM'))

try {
  const port = portOf(process.env)
  stack = await startStack(process.env, await addedServices(), await portForTokens(port))
  const objects = stack.storage ? await putSamples(stack.storage) : []
  // Samples are served as long as their services are there.
  const descriptors = stack.backend && (await samples())?.descriptors
  const env = {
    CORS_ORIGINS: ownOrigins,
    ...(descriptors && {GATEWAY_DESCRIPTORS: descriptors}),
    ...issuerOf(stack),
    ...process.env,
    ...stack.env,
  }
  functions = await startFunctions({target: 'app', port, env, output: 'inherit', loopback: true})
  announce(functions.url, stack, objects)
  if (await answering(functions.url, stack)) console.log(`ready ${functions.url}`)
  const code = await functions.exited
  await stack.close()
  process.exit(stopping ? 0 : (code ?? 1))
} catch (error) {
  await stack?.close()
  if (stopping) process.exit(0)
  fail(error instanceof Error ? error.message : String(error))
}

/** Whether callers have to prove who they are, by tokens of our own metadata server. */
function isOwnIssuer(): boolean {
  const {AUTH, AUTH_ISSUERS, AUTH_API_KEYS, AUTH_WEBHOOK} = process.env
  return AUTH === 'jwt' && !AUTH_ISSUERS && !AUTH_API_KEYS && !AUTH_WEBHOOK
}

/** With AUTH=jwt the metadata server, which gives tokens, is where README says: behind PORT. */
async function portForTokens(port: number): Promise<number> {
  if (!isOwnIssuer() || port === 0) return 0
  return await freePort(port + 1).catch(() => 0)
}

function issuerOf({metadata}: Stack): Record<string, string> {
  if (!isOwnIssuer() || !metadata) return {}
  return {AUTH_ISSUERS: `${metadata.issuer} audience=${audience} jwks=${metadata.jwksUrl}`}
}

function stop(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void {
  stopping = true
  // From a terminal it has had its own; a second one does no harm.
  if (functions) functions.process.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal)
  else process.exit(0)
}

function announce(url: string, {backend, storage, metadata}: Stack, objects: string[]): void {
  const lines = [
    `functions  ${url}/ping  ${url}/upload  ${url}/health  ${url}/api/…  ${url}/openapi.json`,
    `backend    ${backend?.url ?? process.env.BACKEND_URL}`,
    `storage    ${storage?.url ?? process.env.STORAGE_EMULATOR_HOST}`,
    ...objects.map((object) => `           gs://${sampleBucket}/${object}`),
    ...(metadata ? [`metadata   http://${metadata.host}`] : []),
    ...(metadata && isOwnIssuer()
      ? [`token      curl -s -H 'Metadata-Flavor: Google' '${identityUrl(metadata.host)}'`]
      : []),
    '',
    'Try:',
    `  curl '${url}/ping?message=hi'`,
    `  curl -H 'Content-Type: application/json' -d '{"bucket": "samples", "object": "hello.txt", "context": {"creatorId": "me", "name": "hello"}}' ${url}/upload`,
    `  curl -H 'Content-Type: application/json' -H 'Accept: application/x-ndjson' -d '{"bucket": "samples", "object": "film.bin", "context": {"creatorId": "me", "name": "film"}}' ${url}/upload`,
    '',
  ]
  console.log(lines.join('\n'))
}

function identityUrl(host: string): string {
  return `http://${host}/computeMetadata/v1/instance/service-accounts/default/identity?audience=${audience}`
}

/** What `/health` answers. */
interface Health {
  readonly backends: readonly {readonly url: string; readonly note?: string}[]
  readonly error?: {readonly message: string}
}

/** Waits until every part answers, and says what does not as long as it does not; false when the functions have ended. */
async function answering(url: string, {metadata}: Stack): Promise<boolean> {
  const headers: Record<string, string> =
    isOwnIssuer() && metadata ? {authorization: `Bearer ${await metadata.mint({audience})}`} : {}
  for (let said = ''; functions?.process.exitCode === null; await new Promise((resolve) => setTimeout(resolve, 1000))) {
    const response = await fetch(`${url}/health`, {headers}).catch(() => undefined)
    if (!response) continue
    if (response.status === 401) {
      console.log('note       /health is closed, so nothing is known of the backend: AUTH_PUBLIC=/health opens it')
      return true
    }
    const {error, backends} = (await response.json()) as Health
    if (!error) {
      for (const {url, note} of backends) if (note) console.log(`note       ${url}: ${note}`)
      return true
    }
    if (error.message !== said) console.error(`Not ready: ${error.message}`)
    said = error.message
  }
  return false
}

function fail(line: string): never {
  console.error(line)
  process.exit(1)
}
