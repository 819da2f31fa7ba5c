import {type ChildProcess, fork} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'
import {setTimeout as pause} from 'node:timers/promises'
import {freeze, thaw} from '../local/faults/freeze.ts'
import {startProxy} from '../local/faults/proxy.ts'
import {startFaultServer} from '../local/faults/server.ts'
import {callers, type Outcome, type Task} from './lib/caller.ts'
import {end, median} from './lib/processes.ts'

/**
 * Compares our client with plain grpc-js in the same run: when the connection is lost, when its streams are used up, and in
 * normal operation. Each caller is its own process. This process has the server and the proxy.
 */
type Name = keyof typeof callers
const names = Object.keys(callers) as Name[]
const one: Task = {calls: 1, concurrency: 1, timeout: 3000}

const server = await startFaultServer()
const proxy = await startProxy({target: () => server.port})

console.log('The first call after a freeze of 1.2 s in which the connection was lost: ms since the thaw, of 5 each')
const ways = {'dropped silently': () => proxy.drop(), reset: () => proxy.reset(), closed: () => proxy.fin()}
const recovery: Record<string, Record<string, string>> = {}
for (const [way, lose] of Object.entries(ways)) {
  const row: Record<string, string> = {}
  for (const name of names.slice(0, 2)) row[name] = await recoveries(name, lose)
  recovery[way] = row
}
console.table(recovery)

console.log('Calls of 500 ms at once, at a cap of 100 streams: p50 in ms, of 5 bursts after a first one')
server.treatment = {kind: 'answer', ms: 500}
const bursts: Record<string, Record<string, string>> = {}
for (const concurrency of [250, 1000]) {
  const row: Record<string, string> = {}
  for (const name of names) row[name] = await burst(name, concurrency)
  bursts[`${concurrency} at once`] = row
}
console.table(bursts)

console.log('The warm path: CPU of the caller a unary call, in µs, 16 at a time, medians of 7')
server.treatment = {kind: 'answer'}
console.table(await warm())
await proxy.close()
await server.close()

async function caller(name: Name, url: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'lib', 'caller.ts'), [name, url])
  await once(child, 'message')
  return child
}

async function outcomeOf(child: ChildProcess, task: Task): Promise<Outcome> {
  const answer = once(child, 'message')
  child.send(task)
  return (await answer)[0] as Outcome
}

async function recoveries(name: Name, lose: () => void): Promise<string> {
  const child = await caller(name, proxy.url)
  const times: number[] = []
  let failed = 0
  for (let round = 0; round < 5; round++) {
    await outcomeOf(child, {...one, calls: 5})
    await freeze(child)
    lose()
    await pause(1200)
    const outcome = outcomeOf(child, one)
    const thawed = Date.now()
    await thaw(child)
    const {firstSuccess} = await outcome
    if (firstSuccess === undefined) failed++
    else times.push(firstSuccess - thawed)
  }
  await end(child, 'SIGKILL')
  return `${times.length > 0 ? `${median(times)}, at most ${Math.max(...times)}` : '–'}${failed ? `; ${failed} failed` : ''}`
}

async function burst(name: Name, concurrency: number): Promise<string> {
  const child = await caller(name, server.url)
  const medians: number[] = []
  let most = 0
  for (let round = 0; round <= 5; round++) {
    const outcome = outcomeOf(child, {calls: concurrency, concurrency, timeout: 20_000})
    const watch = setInterval(() => {
      most = Math.max(most, server.connections.open)
    }, 50)
    const {latencies, failed} = await outcome
    clearInterval(watch)
    if (failed) throw new Error(`${failed} calls failed`)
    if (round > 0) medians.push(median(latencies))
  }
  await end(child, 'SIGKILL')
  while (server.connections.open > 0) await pause(10)
  return `${Math.round(median(medians))}, best ${Math.round(Math.min(...medians))} (${most} connections)`
}

async function warm() {
  const children = await Promise.all(names.slice(0, 2).map((name) => caller(name, server.url)))
  const cpu: number[][] = children.map(() => [])
  for (let round = 0; round <= 7; round++) {
    for (const [index, child] of children.entries()) {
      const outcome = await outcomeOf(child, {calls: 2000, concurrency: 16, timeout: 20_000})
      if (round > 0) cpu[index]!.push(outcome.cpu)
    }
  }
  await Promise.all(children.map((child) => end(child, 'SIGKILL')))
  return Object.fromEntries(names.slice(0, 2).map((name, index) => [name, {µs: Math.round(median(cpu[index]!))}]))
}
