import {addedServices, samples} from './added-services.ts'
import {type FunctionsProcess, startFunctions} from './functions.ts'
import {endWithNpm} from './parent.ts'
import {putSamples} from './samples.ts'
import {type Stack, sampleBucket, startStack} from './stack.ts'

/** `npm start`: the local stack, and the function `app` in front of it. */
const help = `npm start: serves the functions on PORT (8080) of this machine alone, with a local stack behind them.

What the environment names is not started: BACKEND_URL (gRPC services), STORAGE_EMULATOR_HOST (Storage),
GCE_METADATA_HOST (metadata server). Ctrl-C ends all of it.`

if (process.argv.includes('--help')) {
  console.log(help)
  process.exit(0)
}

const port = Number(process.env.PORT || 8080)
if (!Number.isInteger(port) || port < 0 || port > 65535)
  fail(`PORT="${process.env.PORT}": expected a port, or 0 for any`)

/** What a page that is developed on this machine may have for an origin. */
const ownOrigins = ['localhost', '127.0.0.1', '[::1]']
  .flatMap((host) => [`http://${host}:*`, `https://${host}:*`])
  .join()

let stack: Stack | undefined
let functions: FunctionsProcess | undefined
let stopping = false

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal))
endWithNpm(() => stop('SIGTERM'))

try {
  stack = await startStack(process.env, await addedServices())
  const objects = stack.storage ? await putSamples(stack.storage) : []
  // Samples are served as long as their services are there.
  const descriptors = stack.backend && (await samples())?.descriptors
  const env = {
    CORS_ORIGINS: ownOrigins,
    ...(descriptors && {GATEWAY_DESCRIPTORS: descriptors}),
    ...process.env,
    ...stack.env,
  }
  functions = await startFunctions({target: 'app', port, env, output: 'inherit', loopback: true})
  announce(functions.url, stack, objects)
  if (await answering(functions.url)) console.log(`ready ${functions.url}`)
  const code = await functions.exited
  await stack.close()
  process.exit(stopping ? 0 : (code ?? 1))
} catch (error) {
  await stack?.close()
  if (stopping) process.exit(0)
  fail(error instanceof Error ? error.message : String(error))
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
    '',
    'Try:',
    `  curl '${url}/ping?message=hi'`,
    `  curl -H 'Content-Type: application/json' -d '{"bucket": "samples", "object": "hello.txt", "context": {"creatorId": "me", "name": "hello"}}' ${url}/upload`,
    `  curl -H 'Content-Type: application/json' -H 'Accept: application/x-ndjson' -d '{"bucket": "samples", "object": "film.bin", "context": {"creatorId": "me", "name": "film"}}' ${url}/upload`,
    '',
  ]
  console.log(lines.join('\n'))
}

/** What `/health` answers. */
interface Health {
  readonly backends: readonly {readonly url: string; readonly note?: string}[]
  readonly error?: {readonly message: string}
}

/** Waits until every part answers, and says what does not as long as it does not; false when the functions have ended. */
async function answering(url: string): Promise<boolean> {
  for (let said = ''; functions?.process.exitCode === null; await new Promise((resolve) => setTimeout(resolve, 1000))) {
    const response = await fetch(`${url}/health`).catch(() => undefined)
    if (!response) continue
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
