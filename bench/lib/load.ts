import type {ChildProcess} from 'node:child_process'
import {Agent, request} from 'node:http'
import {setTimeout as pause} from 'node:timers/promises'
import {median, usageOf} from './processes.ts'

/** A request to a function in a process of its own. */
export interface Target {
  readonly child: ChildProcess
  readonly url: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** The body of a POST; a GET is sent without one. */
  readonly body?: string | Buffer
}

export interface Load {
  readonly requests: number
  readonly concurrency: number
  /** Requests before the first turn; by default as many as in a turn. V8 optimizes code only after some ten thousand. */
  readonly warmUp?: number
}

/** Sends the requests, with one connection for each concurrent request. @throws when an answer is not 200 */
export async function send(target: Target, {requests, concurrency}: Load): Promise<void> {
  const agent = new Agent({keepAlive: true, maxSockets: concurrency})
  let left = requests
  try {
    await Promise.all(
      Array.from({length: concurrency}, async () => {
        while (left-- > 0) await one(target, agent)
      }),
    )
  } finally {
    agent.destroy()
  }
}

/** CPU of the function's process per request, in µs. */
export async function cost(target: Target, load: Load): Promise<number> {
  await pause(50)
  await usageOf(target)
  await send(target, load)
  const {cpuSeconds} = await usageOf(target)
  return (cpuSeconds / load.requests) * 1e6
}

/** The costs of the targets, measured in turns after a warm-up. */
export async function costs<T extends string>(
  targets: Readonly<Record<T, Target>>,
  load: Load,
  rounds: number,
): Promise<Record<T, number[]>> {
  const names = Object.keys(targets) as T[]
  const all = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<T, number[]>
  const {requests, concurrency, warmUp = requests} = load
  // In turns too: after a rest of some seconds V8 collects more often, and thousands of requests with large bodies cost twice as much.
  for (let left = warmUp; left > 0; left -= requests) {
    for (const name of names) await send(targets[name], {requests: Math.min(left, requests), concurrency})
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of names) all[name].push(await cost(targets[name], load))
  }
  return all
}

/** The median of the ratios of each turn: both targets meet alike what else the machine does then. */
export function ratioOf(costs: readonly number[], others: readonly number[]): number {
  return median(costs.map((one, turn) => one / others[turn]!))
}

function one({url, path, headers = {}, body}: Target, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = {agent, method: body === undefined ? 'GET' : 'POST', headers}
    const sent = request(url + path, options, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${path} answered ${response.statusCode}`))
      response.resume().on('end', resolve)
    })
    sent.on('error', reject).end(body)
  })
}
