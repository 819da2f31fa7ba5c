/** Loaded into the functions' process before the framework: on SIGUSR2 it prints the process's figures, in a line of JSON. */
import {AsyncResource} from 'node:async_hooks'
import {ClientRequest, IncomingMessage, ServerResponse} from 'node:http'
import {Socket} from 'node:net'
import {Duplex, Readable} from 'node:stream'
import {queryObjects, setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'

/** Memory and resources of a process after a garbage collection. */
export interface Figures {
  /** In bytes. */
  readonly heap: number
  readonly external: number
  readonly rss: number
  /** Handles and requests that keep the event loop alive, by Node's names. */
  readonly resources: Readonly<Record<string, number>>
  /** Reachable objects by class, including subclasses. */
  readonly objects: Readonly<Record<string, number>>
  /** The number of listeners of `process`. */
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
