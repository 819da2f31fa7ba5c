import {ask, end, functionProcess, median, stackProcess, type Usage} from './lib/processes.ts'

/**
 * `upload` against the pipe that one writes first, side by side: MiB/s, CPU and memory of the function's process, for a
 * backend with Node's own HTTP/2 window and for one with a larger window.
 */
const MiB = 1024 * 1024
const size = 256 * MiB
const rounds = 5
/** What an upload's memory may grow by at the most, in MiB. */
const flat = 48

const body = JSON.stringify({bucket: 'samples', object: 'object', context: {creatorId: 'bench', name: 'object'}})

interface Figures {
  readonly mibPerSecond: number
  readonly cpuPerGib: number
  readonly growth: number
}

for (const window of [65_535, 4 * MiB]) {
  const stack = await stackProcess({window, size})
  const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench'}
  const ours = await functionProcess('src/main.js', 'upload', env)
  const obvious = await functionProcess('bench/peers/obvious-upload.ts', 'obvious', env)
  const figures: {ours: Figures[]; obvious: Figures[]} = {ours: [], obvious: []}
  // The first of each is warming up, and the two take turns, so that what else the machine does meets both.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, target] of Object.entries({ours, obvious}) as ['ours' | 'obvious', typeof ours][]) {
      const measured = await upload(target)
      if (round > 0) figures[name].push(measured)
    }
  }
  const kept = await ask<{size: number; whole: boolean}[]>(stack.child, 'repos')
  const whole = kept.length === 2 * (rounds + 1) && kept.every((repo) => repo.whole)
  report(window, figures, whole)
  await Promise.all([end(ours.child, 'SIGTERM'), end(obvious.child, 'SIGKILL')])
  await end(stack.child, 'stop')
}

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

function report(window: number, {ours, obvious}: {ours: Figures[]; obvious: Figures[]}, whole: boolean): void {
  const of = (figures: Figures[], key: keyof Figures) => median(figures.map((figure) => figure[key]))
  const ratio = of(ours, 'mibPerSecond') / of(obvious, 'mibPerSecond')
  const most = Math.max(...ours.map(({growth}) => growth))
  console.log(`${size / MiB} MiB, backend window ${window} bytes, medians of ${rounds}`)
  console.table(
    Object.fromEntries(
      Object.entries({ours, obvious}).map(([name, figures]) => [
        name,
        {
          'MiB/s': Math.round(of(figures, 'mibPerSecond')),
          'CPU s/GiB': Number(of(figures, 'cpuPerGib').toFixed(2)),
          'memory grew by MiB at most': Math.round(Math.max(...figures.map(({growth}) => growth))),
        },
      ]),
    ),
  )
  console.log(
    `ratio ${ratio.toFixed(2)} (aim: 3), byte-identical: ${whole}, memory flat (< ${flat} MiB): ${most < flat}\n`,
  )
  if (!whole || most >= flat) process.exitCode = 1
}
