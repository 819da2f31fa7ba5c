import {deployed} from './lib/deployed.ts'
import {send, type Target} from './lib/load.ts'
import {ask, end, functionProcess, median, stackProcess, type Usage} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/** Resident memory of a new process: when idle, at its maximum, and after many concurrent requests. */
const rounds = roundsOr(5)
const MiB = 1024 * 1024

using build = await deployed()
const stack = await stackProcess({size: 0})
const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench', LOG_LEVEL: 'info'}
const get = '/?message=hello'
const json = {'content-type': 'application/json'}
const body = (size: number) => `{"message":"${'a'.repeat(size)}"}`
const loads = {
  '2,500 requests, 250 at once': {path: get, requests: 2500, concurrency: 250},
  '80 answers of 1 MB, 7 at once': {path: '/', headers: json, body: body(1_000_000), requests: 80, concurrency: 7},
} as const
const functions = {
  'by hand': () => functionProcess('bench/peers/by-hand.js', 'byHand', env),
  ping: () => functionProcess('src/main.js', 'ping', env, build.folder),
} as const

const figures: Record<string, Record<'idle' | 'most' | 'after', number[]>> = {}
for (let round = 0; round < rounds; round++) {
  for (const [what, {requests, concurrency, ...request}] of Object.entries(loads)) {
    for (const [name, start] of Object.entries(functions)) {
      const target: Target = {...(await start()), ...request}
      await send({child: target.child, url: target.url, path: get}, {requests: 1, concurrency: 1})
      const {rss: idle} = await ask<Usage>(target.child, 'usage')
      await send(target, {requests, concurrency})
      const {rss: after, peak: most} = await ask<Usage>(target.child, 'usage')
      await end(target.child, 'SIGKILL')
      figures[`${name}, ${what}`] ??= {idle: [], most: [], after: []}
      for (const [key, bytes] of Object.entries({idle, most, after})) {
        figures[`${name}, ${what}`]![key as 'idle'].push(bytes / MiB)
      }
    }
  }
}
const many = Object.keys(loads)[0]!
const ratio = median(figures[`ping, ${many}`]!.after) / median(figures[`by hand, ${many}`]!.after)
keep('memory', [
  {
    title: `Resident memory of a new process in MiB, medians of ${rounds}: after its first request, at the most, and at the end`,
    rows: Object.fromEntries(
      Object.entries(figures).map(([name, {idle, most, after}]) => [
        name,
        {idle: spreadOf(idle), 'at the most': spreadOf(most), after: spreadOf(after)},
      ]),
    ),
    chart: 'at the most',
    verdict: `After ${many}: ${ratio.toFixed(2)} of by hand (aim: at most 1).`,
  },
])
await end(stack.child, 'stop')
