/** The gRPC services of a development server, in their own process: a change needs a new one, because loaded modules stay loaded. */
import {closeSync, writeFileSync} from 'node:fs'
import {pathToFileURL} from 'node:url'
import {setFlagsFromString} from 'node:v8'
import {createRemoteJWKSet} from 'jose'
import {endWithStarter} from '../announce.ts'
import type {GrpcServer, ServerOptions} from '../grpc/server.ts'
import type {ServicesOptions} from './services.ts'

// Node 24 sweeps short-lived buffers by mark-compact (nodejs/node #61967): with this Repo takes twice as much a second.
setFlagsFromString('--scavenger-max-new-space-capacity-mb=8')

endWithStarter()
// Ctrl-C reaches all processes of a terminal, but the functions' calls to this one should end normally.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})

const {module, issuer, audience} = JSON.parse(process.argv[2] ?? '') as ServicesOptions
const {startServices} = (await import(pathToFileURL(module).href)) as {
  startServices(options: ServerOptions): Promise<GrpcServer>
}
const iam = issuer && {issuer: issuer.name, keys: createRemoteJWKSet(new URL(issuer.keys))}
const server = await startServices({iam, audience})
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)))
writeFileSync(3, String(server.port))
closeSync(3)
