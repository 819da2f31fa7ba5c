import {randomFillSync} from 'node:crypto'
import type {FaultProxy} from '../../local/faults/proxy.ts'
import {startProxy} from '../../local/faults/proxy.ts'
import type {BodyFault, Fault} from '../../local/storage/server.ts'
import {type App, startApp} from '../helpers/app.ts'
import type {Random} from '../soak/random.ts'
import {crcOf} from '../soak/world.ts'

const bucket = 'samples'

/** The function `upload`, with a connection to Storage that can break. */
export interface BrokenStorage {
  readonly app: App
  /** The proxy between the function and Storage. */
  readonly network: FaultProxy
  close(): Promise<void>
}

export async function startBrokenStorage(): Promise<BrokenStorage> {
  let port = 0
  const network = await startProxy({target: () => port})
  const app = await startApp({
    target: 'upload',
    env: {STORAGE_EMULATOR_HOST: network.url, STORAGE_STALL_SECONDS: '0.1'},
  })
  port = Number(new URL(app.storage.url).port)
  app.storage.createBucket(bucket)
  return {
    app,
    network,
    async close() {
      await app.close()
      await network.close()
    },
  }
}

let uploads = 0

/**
 * Uploads a new object while its download meets random faults.
 * @returns what is wrong with the outcome: right is an object that the Repo keeps as it was stored, or a refusal with nothing
 * kept
 */
export async function uploadWithFaults({app, network}: BrokenStorage, random: Random): Promise<string | undefined> {
  const name = `faulty-${++uploads}`
  const content = randomFillSync(Buffer.alloc(random.pick([0, 1, random.size(1, 3e6), random.size(1e5, 1e6)])))
  await app.storage.put(bucket, name, content)
  const faults = Array.from({length: random.int(0, 4)}, () => faultOf(content.length, random))
  const orders = faults.map((fault) => app.storage.fault({...fault, object: name}))
  if (random.chance(0.2)) {
    network.cutAfter(random.size(1, 2e6), random.pick(['fin', 'reset', 'drop']), random.pick(['toClient', 'toServer']))
  }
  const response = await fetch(app.url('/'), {
    method: 'POST',
    headers: {'content-type': 'application/json'},
    body: JSON.stringify({bucket, object: name, context: {creatorId: 'me', name}}),
  })
  const answer = JSON.parse(await response.text())
  for (const order of orders) order[Symbol.dispose]()
  const kept = app.backend.repo.repos.filter((repo) => repo.name === name)
  const tell = (what: string) =>
    `${what}: ${name} of ${content.length} bytes, ${JSON.stringify({faults, answer, kept})}`
  if (response.status !== 200) {
    if (![502, 503, 504].includes(response.status)) return tell(`status ${response.status}`)
    if (answer.error?.code !== response.status) return tell('a refusal out of shape')
    return kept.length === 0 ? undefined : tell('refused, and kept')
  }
  if (kept.length !== 1) return tell(`kept ${kept.length} times`)
  const [{size, crc32c}] = kept as [(typeof kept)[0]]
  if (size !== content.length || crc32c !== crcOf(content)) return tell('something else was kept')
  return (answer.size ?? 0) === size ? undefined : tell('another size in the answer')
}

function faultOf(size: number, random: Random): Fault {
  const at = random.int(0, size)
  return random.pick<Fault>([
    {status: random.pick([408, 429, 500, 502, 503, 504]), ...(random.chance(0.3) && {retryAfter: 0})},
    {status: 503, kind: 'media'},
    {stall: 'headers'},
    ...(['cutAt', 'stallAt', 'endAt', 'flipAt'] as const).map((kind) => ({[kind]: at}) as unknown as BodyFault),
    {cutAt: at, times: random.int(1, 5)},
    {bytesPerMs: random.size(2000, 100_000)},
  ])
}
