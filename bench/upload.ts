import {ask, end, functionProcess, median, stackProcess, type Usage} from './lib/processes.ts'
import {keep, roundsOr, spreadOf, type Table} from './lib/results.ts'

/**
 * Compares `upload` with the obvious implementation, and with its own halves: MiB/s, CPU and memory of the function's process, for a
 * backend with Node's default HTTP/2 window and for one with a larger window.
 */
const MiB = 1024 * 1024
const size = 256 * MiB
/** Uploaded once by each, for the growth of memory. */
const large = 1024 * MiB
const rounds = roundsOr(5)
/** Limit for the growth of memory by uploads of any size, after an upload of one byte, in MiB. */
const flat = 32
/** Aims for the rate: multiples of the obvious pipe, by a small window, and of the slower half. */
const pipeAim = 3
const halfAim = 0.9

interface Figures {
  readonly mibPerSecond: number
  readonly cpuPerGib: number
}

const sources = {
  ours: ['src/main.js', 'upload'],
  'the obvious pipe': ['bench/peers/obvious-upload.ts', 'obvious'],
  'reading alone': ['bench/peers/upload-parts.ts', 'reading'],
  'sending alone': ['bench/peers/upload-parts.ts', 'sending'],
} as const
type Name = keyof typeof sources
type Target = Awaited<ReturnType<typeof functionProcess>>
const names = Object.keys(sources) as Name[]

const tables: Table[] = []
for (const window of [65_535, 4 * MiB]) {
  const stack = await stackProcess({window, size, others: {tiny: 1, large}})
  const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench'}
  const targets = {} as Record<Name, Target>
  for (const name of names) {
    const [source, target] = sources[name]
    targets[name] = await functionProcess(source, target, env)
  }
  const growth = {} as Record<'ours' | 'the obvious pipe', Record<string, number>>
  for (const name of ['ours', 'the obvious pipe'] as const) {
    growth[name] = await growthOf(targets[name], name === 'ours' ? ['object', 'large'] : ['object'])
  }
  const figures = Object.fromEntries(names.map((name) => [name, [] as Figures[]])) as Record<Name, Figures[]>
  // The first round of each is a warm-up. All take turns, so that other load on the machine affects all.
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      const measured = await upload(targets[name], 'object', size)
      if (round > 0) figures[name].push(measured)
    }
  }
  const kept = await ask<{size: number; whole: boolean}[]>(stack.child, 'repos')
  const whole = kept.every((repo) => repo.whole)
  tables.push(tableOf(window, figures, growth, whole))
  await Promise.all(names.map((name) => end(targets[name].child, 'SIGKILL')))
  await end(stack.child, 'stop')
}

keep('upload', tables)

/** How much more memory than after an upload of one byte there was at the most, by uploads of these objects, in MiB. */
async function growthOf(target: Target, objects: readonly ('object' | 'large')[]): Promise<Record<string, number>> {
  await upload(target, 'tiny', 1)
  const {rss: idle} = await ask<Usage>(target.child, 'usage')
  const grown: Record<string, number> = {}
  for (const object of objects) {
    const {peak} = await upload(target, object, object === 'large' ? large : size)
    grown[object] = (peak - idle) / MiB
  }
  return grown
}

async function upload({child, url}: Target, object: string, expected: number): Promise<Figures & {peak: number}> {
  await ask<Usage>(child, 'usage')
  const body = JSON.stringify({bucket: 'samples', object, context: {creatorId: 'bench', name: 'object'}})
  const began = performance.now()
  const response = await fetch(url, {method: 'POST', headers: {'content-type': 'application/json'}, body})
  const reply = (await response.json()) as {size: number}
  const seconds = (performance.now() - began) / 1000
  if (reply.size !== expected) throw new Error(`${reply.size} bytes of ${expected}: ${JSON.stringify(reply)}`)
  const {cpuSeconds, peak} = await ask<Usage>(child, 'usage')
  return {mibPerSecond: expected / MiB / seconds, cpuPerGib: (cpuSeconds / expected) * MiB * 1024, peak}
}

function tableOf(
  window: number,
  figures: Record<Name, Figures[]>,
  growth: Partial<Record<Name, Record<string, number>>>,
  whole: boolean,
): Table {
  const all = (name: Name, key: keyof Figures) => figures[name].map((figure) => figure[key])
  const middle = (name: Name, key: keyof Figures) => median(all(name, key))
  const ours = middle('ours', 'mibPerSecond')
  const ofPipe = ours / middle('the obvious pipe', 'mibPerSecond')
  const slower = Math.min(middle('reading alone', 'mibPerSecond'), middle('sending alone', 'mibPerSecond'))
  const cpuOfHalves = middle('reading alone', 'cpuPerGib') + middle('sending alone', 'cpuPerGib')
  const grown = Math.max(...Object.values(growth.ours ?? {}))
  const halves = ours / slower
  if (!whole || grown >= flat || halves < halfAim || ofPipe < pipeAim) process.exitCode = 1
  return {
    title: `${size / MiB} MiB to a backend whose HTTP/2 window is ${window} bytes, medians of ${rounds}`,
    rows: Object.fromEntries(
      names.map((name) => [
        name,
        {
          'MiB/s': spreadOf(all(name, 'mibPerSecond')),
          'CPU s a GiB': spreadOf(all(name, 'cpuPerGib'), 2),
          ...mibOf(growth[name]),
        },
      ]),
    ),
    chart: 'MiB/s',
    verdict: [
      `Rate ${ofPipe.toFixed(2)} of the obvious pipe (aim: ${pipeAim}), ${halves.toFixed(2)} of the slower half (aim: ${halfAim});`,
      `CPU ${(middle('ours', 'cpuPerGib') / cpuOfHalves).toFixed(2)} of both halves together;`,
      `byte-identical: ${whole}; memory grew by ${grown.toFixed(0)} MiB (aim: under ${flat}).`,
    ].join(' '),
  }
}

function mibOf({object, large: most}: Record<string, number> = {}): Record<string, number> {
  return {
    ...(object !== undefined && {'memory grew by MiB': Math.round(object)}),
    ...(most !== undefined && {'by 1 GiB': Math.round(most)}),
  }
}
