import {ask, end, functionProcess, median, stackProcess, type Usage} from './lib/processes.ts'
import {keep, roundsOr, spreadOf, type Table} from './lib/results.ts'

/**
 * Compares `upload` with the obvious implementation: MiB/s, CPU and memory of the function's process, for a backend with Node's default
 * HTTP/2 window and for one with a larger window.
 */
const MiB = 1024 * 1024
const size = 256 * MiB
const rounds = roundsOr(5)
/** Limit for the growth of memory by an upload, in MiB. */
const flat = 48

const body = JSON.stringify({bucket: 'samples', object: 'object', context: {creatorId: 'bench', name: 'object'}})

interface Figures {
  readonly mibPerSecond: number
  readonly cpuPerGib: number
  readonly growth: number
}

const tables: Table[] = []
for (const window of [65_535, 4 * MiB]) {
  const stack = await stackProcess({window, size})
  const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench'}
  const ours = await functionProcess('src/main.js', 'upload', env)
  const obvious = await functionProcess('bench/peers/obvious-upload.ts', 'obvious', env)
  const figures: {ours: Figures[]; obvious: Figures[]} = {ours: [], obvious: []}
  // The first round of each is a warm-up. The two take turns, so that other load on the machine affects both.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, target] of Object.entries({ours, obvious}) as ['ours' | 'obvious', typeof ours][]) {
      const measured = await upload(target)
      if (round > 0) figures[name].push(measured)
    }
  }
  const kept = await ask<{size: number; whole: boolean}[]>(stack.child, 'repos')
  const whole = kept.length === 2 * (rounds + 1) && kept.every((repo) => repo.whole)
  tables.push(tableOf(window, figures, whole))
  await Promise.all([end(ours.child, 'SIGTERM'), end(obvious.child, 'SIGKILL')])
  await end(stack.child, 'stop')
}

keep('upload', tables)

async function upload({child, url}: Awaited<ReturnType<typeof functionProcess>>): Promise<Figures> {
  const before = await ask<Usage>(child, 'usage')
  const began = performance.now()
  const response = await fetch(url, {method: 'POST', headers: {'content-type': 'application/json'}, body})
  const reply = (await response.json()) as {size: number}
  const seconds = (performance.now() - began) / 1000
  if (reply.size !== size) throw new Error(`Kept ${reply.size} bytes of ${size}: ${JSON.stringify(reply)}`)
  const after = await ask<Usage>(child, 'usage')
  return {
    mibPerSecond: size / MiB / seconds,
    cpuPerGib: (after.cpuSeconds / size) * MiB * 1024,
    growth: (after.peak - before.rss) / MiB,
  }
}

function tableOf(window: number, {ours, obvious}: {ours: Figures[]; obvious: Figures[]}, whole: boolean): Table {
  const all = (figures: Figures[], key: keyof Figures) => figures.map((figure) => figure[key])
  const ratio = median(all(ours, 'mibPerSecond')) / median(all(obvious, 'mibPerSecond'))
  const isFlat = Math.max(...all(ours, 'growth')) < flat
  if (!whole || !isFlat) process.exitCode = 1
  return {
    title: `${size / MiB} MiB to a backend whose HTTP/2 window is ${window} bytes, medians of ${rounds}`,
    rows: Object.fromEntries(
      Object.entries({ours, 'the obvious pipe': obvious}).map(([name, figures]) => [
        name,
        {
          'MiB/s': spreadOf(all(figures, 'mibPerSecond')),
          'CPU s a GiB': spreadOf(all(figures, 'cpuPerGib'), 2),
          'memory grew by MiB': spreadOf(all(figures, 'growth')),
        },
      ]),
    ),
    chart: 'MiB/s',
    verdict: `Ratio ${ratio.toFixed(2)} (aim: 3); byte-identical: ${whole}; memory grew by less than ${flat} MiB: ${isFlat}.`,
  }
}
