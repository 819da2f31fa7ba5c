import {setFlagsFromString} from 'node:v8'
import {createRemoteJWKSet} from 'jose'
import {type Logger, pino} from 'pino'
import {addedServices} from './added-services.ts'
import {type BackendOptions, startBackend} from './grpc/backend.ts'
import type {CallRecord} from './grpc/interceptors.ts'
import {upstreamAt} from './grpc/upstream.ts'
import {endWithNpm} from './parent.ts'

// The gRPC services alone: `npm run backend`, or a container on Cloud Run. The environment:
//
// PORT               where to listen; 8080
// UPSTREAM_URL       the Ping service that SendUpstream asks; left out, this one
// GCE_METADATA_HOST  the metadata server whose ID tokens an https upstream is asked with
// METADATA_JWKS_URL  keys of the ID tokens to let in; left out, all calls are let in, as Cloud Run's front end checks them
// AUDIENCE           the audience of those tokens; left out, the URL that this listens at

// Node 24 sweeps short-lived buffers by mark-compact (nodejs/node #61967): with this Repo takes twice as much a second.
setFlagsFromString('--scavenger-max-new-space-capacity-mb=8')

/** How long calls in flight may take to end, in ms: Cloud Run kills 10 s after its SIGTERM. */
const grace = 9000

const log = await logger()
const backend = await startBackend({...(await addedServices()), ...optionsFrom(process.env)})
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => end(signal))
endWithNpm(() => end('SIGTERM'))
// Last: who reads it may end the process at once.
log.info(`ready ${backend.url}`)

async function end(signal: NodeJS.Signals): Promise<void> {
  log.info(`${signal}: ending, with ${backend.openCalls()} calls in flight`)
  await backend.close(grace)
  log.info('ended')
}

function optionsFrom(env: NodeJS.ProcessEnv): BackendOptions {
  const {PORT = '8080', UPSTREAM_URL, GCE_METADATA_HOST, METADATA_JWKS_URL, AUDIENCE} = env
  if (!/^\d{1,5}$/.test(PORT)) throw new Error(`Cannot listen on PORT "${PORT}": expected a number from 0 to 65535`)
  return {
    port: Number(PORT),
    host: '0.0.0.0',
    onCall: logCall,
    upstream: UPSTREAM_URL ? upstreamAt(UPSTREAM_URL, GCE_METADATA_HOST) : undefined,
    audience: AUDIENCE,
    iam: METADATA_JWKS_URL
      ? {issuer: 'https://accounts.google.com', keys: createRemoteJWKSet(new URL(METADATA_JWKS_URL))}
      : undefined,
  }
}

/** `status` is the status that the caller got; `message` is the log line. */
function logCall({error, message: status, ...record}: CallRecord): void {
  const line = `${record.method} ${record.code} ${record.latencyMs} ms`
  if (error) log.error({...record, status, err: error}, line)
  else log.info({...record, status}, line)
}

/** JSON lines in Cloud Logging's names; for a person at a terminal, text. */
async function logger(): Promise<Logger> {
  if (process.stdout.isTTY) {
    const {default: pretty} = await import('pino-pretty')
    return pino({base: null}, pretty({sync: true}))
  }
  return pino({
    base: null,
    messageKey: 'message',
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: {level: (label) => ({severity: label.toUpperCase()})},
  })
}
