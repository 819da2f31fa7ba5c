import {randomFillSync} from 'node:crypto'
import type {Answer, Ask} from './exchange.ts'
import type {Random} from './random.ts'
import {bucket, crcOf, mostBody, type World} from './world.ts'

/** A request, and the conditions for its answer. */
export interface Task {
  readonly kind: string
  readonly ask: Ask
  /** Whether its handler may run more than once. */
  readonly isRepeatable: boolean
  /** Whether it is answered even if no other request is. */
  readonly isExempt?: boolean
  /** Whether the answer may be cut after it has begun. */
  readonly streams?: boolean
  /** What is wrong with an answer of 200; undefined if it is right. */
  check(answer: Answer): string | undefined
  /** The only upload of this name that the Repo may store; it may also store none. */
  readonly upload?: {readonly size: number; readonly crc32c: string}
}

type Maker = (id: string, random: Random, world: World) => Task

const json = {'content-type': 'application/json'}
const type = 'application/x-ndjson'
const lines = {'content-type': type, accept: type}

/** The kinds of requests, with their frequency. */
export const kinds: readonly (readonly [weight: number, make: Maker])[] = [
  [3, (id) => unary('ping', 'GET', `/ping?message=${id}`, id)],
  [1, (id) => unary('gateway GET', 'GET', `/sharp/look?text=${id}`, id, {isRepeatable: true})],
  [3, (id) => unary('gateway POST', 'POST', '/sharp/once', id)],
  [1, (id) => unary('real look', 'GET', `/real/look?text=${id}`, id, {isRepeatable: true})],
  [3, (id, random) => unary('real POST', 'POST', '/real/once', id, {filler: random.size(1, mostBody / 2)})],
  [2, (id) => serverStream('sharp', id, 5)],
  [2, (id, random) => serverStream('real', id, random.size(1, 2000))],
  [2, (id, random) => clientStream('sharp', id, random)],
  [2, (id, random) => clientStream('real', id, random)],
  [1, (id, random) => bothStreams('sharp', id, random)],
  [2, (id, random) => bothStreams('real', id, random)],
  [3, storageUpload],
  [2, bodyUpload],
  [1, () => health()],
  [1, () => openApi()],
  [1, (_id, random) => nowhere(random)],
]

/** A request of a random kind. */
export function anyTask(id: string, random: Random, world: World): Task {
  const task = random.weighted(kinds)(id, random, world)
  if (!random.chance(0.1)) return task
  const headers = {...task.ask.headers, 'x-server-timeout': String(random.int(1, 40) / 10)}
  return {...task, ask: {...task.ask, headers}}
}

interface More {
  readonly isRepeatable?: boolean
  readonly filler?: number
}

function unary(kind: string, method: Ask['method'], path: string, id: string, more: More = {}): Task {
  const filler = 'x'.repeat(more.filler ?? 0)
  return {
    kind,
    isRepeatable: more.isRepeatable ?? false,
    ask: {method, path, ...(method === 'POST' && {headers: json, body: [JSON.stringify({text: id, filler})]})},
    check({text}) {
      const answer = JSON.parse(text)
      const isOurs = (answer.pong?.message ?? answer.text) === id && (answer.filler ?? '') === filler
      return isOurs ? undefined : `another answer: ${text.slice(0, 200)}`
    },
  }
}

function serverStream(service: string, id: string, count: number): Task {
  return {
    kind: `${service} server stream`,
    isRepeatable: false,
    streams: true,
    ask: {method: 'GET', path: `/${service}/down?text=${id}&count=${count}`, headers: {accept: type}},
    check: (answer) => checkLines(answer, id, count),
  }
}

function checkLines({text}: Answer, id: string, count: number): string | undefined {
  const answers = text.split('\n').filter(Boolean)
  const wrong = answers.find((line) => JSON.parse(line).text !== id)
  if (wrong) return `a line of another answer: ${wrong.slice(0, 200)}`
  return answers.length === count ? undefined : `${answers.length} of ${count} messages`
}

function notes(id: string, random: Random): string[] {
  return Array.from(
    {length: random.int(1, 8)},
    (_, count) => `${JSON.stringify({text: id, count, filler: 'y'.repeat(random.size(1, 5000))})}\n`,
  )
}

function clientStream(service: string, id: string, random: Random): Task {
  const body = notes(id, random)
  return {
    kind: `${service} client stream`,
    isRepeatable: false,
    ask: {
      method: 'POST',
      path: `/${service}/up`,
      headers: {'content-type': type},
      body,
      pause: random.pick([0, 0, 5, 50]),
    },
    check({text}) {
      const {text: got, count = 0} = JSON.parse(text)
      return got === id && count === body.length - 1 ? undefined : `another answer: ${text.slice(0, 200)}`
    },
  }
}

function bothStreams(service: string, id: string, random: Random): Task {
  const body = notes(id, random)
  return {
    kind: `${service} both streams`,
    isRepeatable: false,
    streams: true,
    ask: {method: 'POST', path: `/${service}/both`, headers: lines, body, pause: random.pick([0, 0, 5, 50])},
    check: (answer) => checkLines(answer, id, body.length),
  }
}

function storageUpload(id: string, random: Random, {objects}: World): Task {
  const [object, upload] = random.pick([...objects])
  const reports = random.chance(0.3)
  const body = [JSON.stringify({bucket, object, context: {creatorId: 'soak', name: id}})]
  return {
    kind: 'upload of an object',
    isRepeatable: false,
    upload,
    streams: reports,
    ask: {method: 'POST', path: '/upload', headers: {...json, ...(reports && {accept: type})}, body},
    check: (answer) => checkUpload(answer, upload.size),
  }
}

function bodyUpload(id: string, random: Random): Task {
  const content = randomFillSync(Buffer.alloc(random.size(1, 600_000)))
  const piece = random.size(100, 100_000)
  const body: Buffer[] = []
  for (let at = 0; at < content.length; at += piece) body.push(content.subarray(at, at + piece))
  return {
    kind: 'upload of a body',
    isRepeatable: false,
    upload: {size: content.length, crc32c: crcOf(content)},
    ask: {
      method: 'POST',
      path: `/upload?creatorId=soak&name=${id}`,
      headers: {'content-type': 'application/octet-stream', 'content-length': String(content.length)},
      body,
      pause: body.length < 20 ? random.pick([0, 0, 10]) : 0,
    },
    check: (answer) => checkUpload(answer, content.length),
  }
}

function checkUpload({text}: Answer, size: number): string | undefined {
  const last = text.trim().split('\n').at(-1) ?? ''
  const answer = JSON.parse(last)
  return (answer.size ?? 0) === size && answer.repo?.id ? undefined : `another answer: ${last.slice(0, 200)}`
}

function health(): Task {
  return {
    kind: 'health',
    isRepeatable: true,
    isExempt: true,
    ask: {method: 'GET', path: '/health'},
    check: ({text}) => (['SERVING', 'UNKNOWN'].includes(JSON.parse(text).status) ? undefined : text),
  }
}

function openApi(): Task {
  return {
    kind: 'openapi',
    isRepeatable: true,
    ask: {method: 'GET', path: '/openapi.json'},
    check: ({text}) => (JSON.parse(text).openapi ? undefined : 'no OpenAPI'),
  }
}

/** A request that needs no backend. */
function nowhere(random: Random): Task {
  const ask: Ask = random.pick<Ask>([
    {method: 'GET', path: '/nowhere'},
    {method: 'POST', path: '/real/once', headers: json, body: ['{"text": ']},
    {method: 'POST', path: '/real/once', headers: json, body: ['{"nope": 1}']},
    {method: 'POST', path: '/real/once', headers: json, body: [Buffer.alloc(2 * mostBody, 'a')]},
    {method: 'POST', path: '/upload', headers: json, body: [`{"bucket": "${bucket}", "object": "none"}`]},
  ])
  return {kind: 'refused', isRepeatable: false, ask, check: () => 'it was taken'}
}
