/** Loaded into the functions' process before the framework: on SIGUSR2 it prints what the process holds, in a line of JSON. */
import {AsyncResource} from 'node:async_hooks'
import {ClientRequest, IncomingMessage, ServerResponse} from 'node:http'
import {Socket} from 'node:net'
import {Duplex, Readable} from 'node:stream'
import {queryObjects, setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'

/** What a process holds after a collection. */
export interface Figures {
  /** In bytes. */
  readonly heap: number
  readonly external: number
  readonly rss: number
  /** Handles and requests that keep an event loop running, by Node's names. */
  readonly resources: Readonly<Record<string, number>>
  /** Objects that are reachable, by class; subclasses are counted as well. */
  readonly objects: Readonly<Record<string, number>>
  /** Listeners of `process`. */
  readonly listeners: number
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const classes = {
  Socket,
  ClientRequest,
  IncomingMessage,
  ServerResponse,
  Readable,
  Duplex,
  AbortSignal,
  AsyncResource,
} as const

function figures(): Figures {
  collect()
  collect()
  const resources: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1
  const objects: Record<string, number> = {}
  for (const [name, of] of Object.entries(classes)) {
    objects[name] = queryObjects(of as unknown as () => unknown, {format: 'count'}) as unknown as number
  }
  const {heapUsed: heap, external, rss} = process.memoryUsage()
  const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
  return {heap, external, rss, resources, objects, listeners}
}

process.on('SIGUSR2', () => process.stdout.write(`${JSON.stringify({figures: figures()})}\n`))
