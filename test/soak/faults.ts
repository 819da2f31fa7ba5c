import {setTimeout as pause} from 'node:timers/promises'
import type {Behaviour, Direction, FaultProxy} from '../../local/faults/proxy.ts'
import type {Treatment} from '../../local/faults/server.ts'
import type {Fault as StorageFault} from '../../local/storage/server.ts'
import {acts} from './hostile.ts'
import type {Random} from './random.ts'
import type {World} from './world.ts'

/** A fault of the schedule: its kind, its time and its duration. */
export interface Planned {
  /** Time since the beginning of the phase, in ms. */
  readonly at: number
  readonly title: string
  readonly lasts: number
  /** Starts the fault; returns the function that ends it. */
  begin(world: World, stage: Stage): unknown
  end?(world: World): unknown
}

/** Helpers of faults, in addition to the servers. */
export interface Stage {
  /** Sends `count` concurrent requests. */
  burst(count: number): void
  hostile(act: string, count: number): void
  /** Makes the end of the phase wait for `work`. */
  track(work: Promise<unknown>): void
}

type Kind = (random: Random) => Omit<Planned, 'at'>

const networks = ['sharp', 'real', 'storage'] as const
const directions: readonly (readonly Direction[])[] = [['toServer', 'toClient'], ['toServer'], ['toClient']]

/** The kinds of faults, with their frequency. */
const kinds: readonly (readonly [weight: number, kind: Kind])[] = [
  [4, silentDrop],
  [3, ended],
  [2, cut],
  [1, delayed],
  [2, refusing],
  [8, oddCalls],
  [3, goaway],
  [2, sharpRestart],
  [1, sharpDown],
  [1, sharpLimit],
  [2, realBreaks],
  [1, realRestart],
  [6, storageFault],
  [3, metadataFault],
  [6, frozen],
  [2, burst],
  [6, hostile],
]

/** The faults of a phase of `ms`, in order of time. All of them are derived from `random`. */
export function schedule(random: Random, ms: number): Planned[] {
  const planned: Planned[] = []
  for (let at = random.int(0, 300); at < ms; at += random.size(20, 1200)) {
    planned.push({at, ...random.weighted(kinds)(random.fork())})
  }
  return planned
}

/** Ends all faults, so that nothing is broken from now on. Dead connections stay dead, without a notice to either end. */
export async function mendAll({sharp, metadata, network, instance}: World): Promise<void> {
  for (const proxy of Object.values(network)) {
    proxy.forward({open: false})
    mend(proxy, 'cut', 'delay')
  }
  sharp.clear()
  sharp.maxStreams = 100
  metadata.recover()
  metadata.lifetimeSeconds = 3600
  if (instance.isFrozen) await instance.thaw()
}

/** Makes open connections whose behaviour is one of `kinds` forward again. */
function mend({connections}: FaultProxy, ...kinds: readonly Behaviour['kind'][]): void {
  for (const {toServer, toClient} of connections) {
    for (const flow of [toServer, toClient]) if (kinds.includes(flow.behaviour.kind)) flow.behaviour = {kind: 'forward'}
  }
}

function silentDrop(random: Random) {
  const [name, ways, lasts] = [random.pick(networks), random.pick(directions), random.size(100, 3000)]
  const later = random.chance(0.3)
  return {
    title: `${name}: bytes ${ways.join(' and ')} are dropped${later ? `, on new connections too for ${lasts} ms` : ''}`,
    lasts,
    begin: ({network}: World) => network[name].drop({directions: ways, later}),
    end: ({network}: World) => network[name].forward({open: false}),
  }
}

function ended(random: Random) {
  const [name, how] = [random.pick(networks), random.pick(['fin', 'reset'] as const)]
  return {title: `${name}: ${how}`, lasts: 0, begin: ({network}: World) => network[name][how]()}
}

function cut(random: Random) {
  const name = random.pick(networks)
  const behaviour = {bytes: random.size(1, 300_000), end: random.pick(['fin', 'reset', 'drop'] as const)}
  const direction = random.pick(['toServer', 'toClient'] as const)
  return {
    title: `${name}: ${behaviour.end} after ${behaviour.bytes} bytes ${direction}`,
    lasts: 0,
    begin: ({network}: World) => network[name].cutAfter(behaviour.bytes, behaviour.end, direction),
  }
}

function delayed(random: Random) {
  const [name, ms, lasts] = [random.pick(networks), random.size(5, 300), random.size(100, 2000)]
  return {
    title: `${name}: ${ms} ms late for ${lasts} ms`,
    lasts,
    begin: ({network}: World) => network[name].delay(ms),
    end({network}: World) {
      mend(network[name], 'delay')
      network[name].forward({open: false})
    },
  }
}

function refusing(random: Random) {
  const [name, lasts, resets] = [random.pick(networks), random.size(50, 3500), random.chance(0.7)]
  return {
    title: `${name}: no connections for ${lasts} ms${resets ? ', and the open ones reset' : ''}`,
    lasts,
    begin({network}: World) {
      network[name].refuse()
      if (resets) network[name].reset()
    },
    end: ({network}: World) => network[name].forward({open: false}),
  }
}

function oddCalls(random: Random) {
  const treatment = random.pick<Treatment>([
    {kind: 'refuse'},
    {kind: 'reset', code: random.pick([2, 8, 11]), messages: 0},
    {kind: 'reset', code: 2, messages: 1},
    {kind: 'stall'},
    {kind: 'stall', headers: true},
    {kind: 'http', status: random.pick([429, 502, 503, 504]), body: '<html>'},
    {kind: 'status', code: 14, message: 'not now'},
    {kind: 'status', code: 14, metadata: {'grpc-retry-pushback-ms': random.pick(['-1', '20', 'soon'])}},
    {kind: 'answer', ms: random.size(10, 3000)},
  ])
  // A stall holds its caller until the deadline.
  const times = random.size(1, treatment.kind === 'stall' ? 5 : 20)
  return {
    title: `sharp: the next ${times} calls meet ${JSON.stringify(treatment)}`,
    lasts: 0,
    begin: ({sharp}: World) => sharp.next(...Array.from({length: times}, () => treatment)),
  }
}

function goaway(random: Random) {
  const lastStream = random.pick(['all', 'executed', 'unknown'] as const)
  const code = random.pick([0, 0, 0, 2, 11])
  const closes = random.chance(0.5)
  return {
    title: `sharp: GOAWAY, last stream ${lastStream}, code ${code}${closes ? ', and the end' : ''}`,
    lasts: closes ? random.size(1, 200) : 0,
    begin: ({sharp}: World) => sharp.goaway({lastStream, code}),
    end: ({network}: World) => closes && network.sharp.fin(),
  }
}

function sharpRestart(random: Random) {
  const hard = random.chance(0.5)
  return {
    title: `sharp: a ${hard ? 'hard' : 'graceful'} restart`,
    lasts: 0,
    begin: (world: World, stage: Stage) => stage.track(inTurn(world, () => restart(world, hard))),
  }
}

async function restart({sharp}: World, hard: boolean): Promise<void> {
  // Calls that never end are dropped after a while, as a container is killed in the end.
  const timer = setTimeout(() => sharp.dropConnections(), 1000)
  await sharp.restart({hard})
  clearTimeout(timer)
}

function sharpDown(random: Random) {
  const lasts = random.size(100, 4000)
  const down = async ({sharp}: World) => {
    await sharp.stop()
    await pause(lasts)
    await sharp.listen()
  }
  return {
    title: `sharp: down for ${lasts} ms`,
    lasts: 0,
    begin: (world: World, stage: Stage) => stage.track(inTurn(world, () => down(world))),
  }
}

const turns = new WeakMap<World, Promise<void>>()

/** Runs restarts one after the other. */
function inTurn(world: World, work: () => Promise<void>): Promise<void> {
  const turn = (turns.get(world) ?? Promise.resolve()).then(work)
  turns.set(world, turn)
  return turn
}

function sharpLimit(random: Random) {
  const [streams, lasts] = [random.pick([0, 1, 2, 10]), random.size(100, 3000)]
  return {
    title: `sharp: ${streams} streams a connection for ${lasts} ms`,
    lasts,
    begin({sharp}: World) {
      sharp.maxStreams = streams
    },
    end({sharp}: World) {
      sharp.maxStreams = 100
    },
  }
}

function realBreaks() {
  return {title: 'real: connections break', lasts: 0, begin: ({real}: World) => real.server.dropConnections()}
}

function realRestart(random: Random) {
  const graceMs = random.pick([0, 100, 1000])
  return {title: `real: a restart, with ${graceMs} ms`, lasts: 0, begin: ({real}: World) => real.restart(graceMs)}
}

function storageFault(random: Random) {
  const at = random.size(1, 3e6)
  const fault = random.pick<StorageFault>([
    {status: random.pick([429, 500, 502, 503, 504]), ...(random.chance(0.3) && {retryAfter: 1})},
    {stall: 'headers'},
    {cutAt: at},
    {stallAt: at},
    {endAt: at},
    {flipAt: at},
    {bytesPerMs: random.size(50, 50_000)},
  ])
  const times = random.size(1, 10)
  const lasts = random.size(200, 4000)
  let order: Disposable | undefined
  return {
    title: `storage: ${times} times ${JSON.stringify(fault)}, in ${lasts} ms`,
    lasts,
    begin({storage}: World) {
      order = storage.fault({...fault, times})
    },
    end: () => order?.[Symbol.dispose](),
  }
}

function metadataFault(random: Random) {
  const kind = random.pick(['fails', 'hangs', 'tokens of 4 s', 'tokens of 60 s'] as const)
  const lasts = random.size(200, 4000)
  return {
    title: `metadata: ${kind} for ${lasts} ms`,
    lasts,
    begin({metadata}: World) {
      if (kind === 'fails') metadata.fail(random.pick([404, 500, 503]))
      else if (kind === 'hangs') metadata.hang()
      else metadata.lifetimeSeconds = kind === 'tokens of 4 s' ? 4 : 60
    },
    end({metadata}: World) {
      metadata.recover()
    },
  }
}

/** As Cloud Run does between two requests, but here even under load. */
function frozen(random: Random) {
  const ms = random.size(20, 3000)
  const [name, how] = [random.pick(networks), random.pick(['drop', 'fin', 'reset', 'nothing', 'nothing'] as const)]
  return {
    title: `frozen for ${ms} ms, and ${how} to ${name}`,
    lasts: 0,
    async begin({instance, network}: World) {
      await instance.freeze()
      try {
        if (how !== 'nothing') network[name][how]()
        await pause(ms)
      } finally {
        await instance.thaw()
      }
    },
  }
}

function burst(random: Random) {
  const count = random.size(50, 400)
  return {title: `${count} requests at once`, lasts: 0, begin: (_world: World, stage: Stage) => stage.burst(count)}
}

function hostile(random: Random) {
  const [act, count] = [random.pick(Object.keys(acts)), random.size(1, 12)]
  return {
    title: `${count} x ${act}`,
    lasts: 0,
    begin: (_world: World, stage: Stage) => stage.hostile(act, count),
  }
}
