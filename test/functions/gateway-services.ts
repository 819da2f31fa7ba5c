import {type DescService, fromBinary, fromJson, type JsonValue, type Message, toJson} from '@bufbuild/protobuf'
import {type CallContext, type Implementation, type ImplementOptions, implement} from '../../local/grpc/implement.ts'
import type {Service} from '../../local/grpc/service.ts'
import {type AppOptions, startApp} from '../helpers/app.ts'
import {exchange, open, type Request} from './gateway-client.ts'
import {type Schema, servedSchema} from './gateway-schema.ts'

/** A message of every.proto, for which no code is generated. */
// biome-ignore lint/suspicious/noExplicitAny: a message by its descriptor alone
export type Any = any

/** A call as its service sees it. */
export interface Seen {
  readonly context: CallContext
  /** Resolves when the call ends before its handler does. */
  readonly cancelled: Promise<void>
}

type Handler = (input: Any, context: CallContext) => unknown

/** A service whose answers a test can set; by default it answers as `usual` does. */
export class HeldService implements Service {
  readonly #desc: DescService
  readonly #usual: Readonly<Record<string, Handler>>
  #handlers: Readonly<Record<string, Handler>> = {}
  #takers: ((seen: Seen) => void)[] = []

  constructor(desc: DescService, usual: Readonly<Record<string, Handler>>) {
    this.#desc = desc
    this.#usual = usual
  }

  /** Overrides handlers until it is disposed of. */
  handle(handlers: Readonly<Record<string, Handler>>): Disposable {
    this.#handlers = handlers
    return {
      [Symbol.dispose]: () => {
        this.#handlers = {}
      },
    }
  }

  /** The next call, as soon as it reaches its handler. */
  next(): Promise<Seen> {
    return new Promise((resolve) => this.#takers.push(resolve))
  }

  implement(options: ImplementOptions): Implementation {
    const handled = this.#desc.methods.map(({localName}) => {
      const handler: Handler = (input, context) => {
        const cancelled = new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()))
        this.#takers.shift()?.({context, cancelled})
        return (this.#handlers[localName] ?? this.#usual[localName]!)(input, context)
      }
      return [localName, handler]
    })
    const implementation = implement(this.#desc, Object.fromEntries(handled) as never, options)
    for (const {localName, input} of this.#desc.methods) {
      // Accepts messages as deeply nested as the gateway sends them; most services would stop at 100 levels.
      implementation.definition[localName]!.requestDeserialize = (bytes) =>
        fromBinary(input, bytes, {recursionLimit: 500})
    }
    return implementation
  }
}

const same: Handler = (request) => request

async function* each(requests: AsyncIterable<Any>) {
  for await (const request of requests) yield request
}

/** The names and children of all messages of the stream. */
async function summed(requests: AsyncIterable<Any>) {
  const names: string[] = []
  const children: Any[] = []
  for await (const {name, child} of requests) {
    names.push(name)
    if (child) children.push(child)
  }
  return {names, children}
}

async function* counted({int32Value, name}: Any) {
  for (let number = 1; number <= int32Value; number++) yield {int32Value: number, name}
}

async function filed(files: AsyncIterable<Any>) {
  const names: string[] = []
  const datas: Uint8Array[] = []
  for await (const {contentType, data} of files) {
    names.push(contentType)
    datas.push(data)
  }
  return {names, file: {contentType: names[0] ?? '', data: Buffer.concat(datas)}}
}

async function* pieces({datas, name}: Any) {
  for (const [index, data] of datas.entries()) yield {contentType: index === 0 ? name : 'text/other', data}
}

export interface ServedOptions extends AppOptions {
  /** Further protos to serve: texts by file name. */
  readonly protos?: Readonly<Record<string, string>>
  /** Full names of services in these protos whose methods are all unary and return their request. */
  readonly echoes?: readonly string[]
}

/** Starts the gateway in front of the services of served.proto. */
export async function startServed({protos, echoes = [], ...options}: ServedOptions = {}) {
  const schema = servedSchema(protos)
  const {registry} = schema
  const held = (name: string, usual: Readonly<Record<string, Handler>>) =>
    new HeldService(registry.getService(`served.${name}`)!, usual)
  const services = {
    echo: held('Echo', {whole: same, paths: same, custom: same, body: same, response: same}),
    plain: held('Plain', {one: same, both: each}),
    bytes: held('Bytes', {
      mirror: same,
      field: same,
      up: filed,
      async upField(requests) {
        const [first, ...others] = await Array.fromAsync(requests as AsyncIterable<Any>)
        const data = [first, ...others].map(({file}) => file.data)
        return {name: first.name, names: others.map(({name}) => name), file: {...first.file, data: Buffer.concat(data)}}
      },
      down: pieces,
      async *downField(request) {
        for await (const file of pieces(request)) yield {file}
      },
      both: each,
    }),
    streams: held('Streams', {up: summed, down: counted, both: each}),
    older: held('Older', {old: same, modern: same}),
  }
  const echoing = echoes.map((name) => {
    const desc = registry.getService(name)!
    return new HeldService(desc, Object.fromEntries(desc.methods.map(({localName}) => [localName, same])))
  })
  const app = await startApp({
    target: 'gateway',
    ...options,
    env: {GATEWAY_DESCRIPTORS: schema.path, GATEWAY_DEFAULT_BINDINGS: 'true', ...options.env},
    backend: {...options.backend, services: [...Object.values(services), ...echoing]},
  })
  const close = async () => {
    await app.close()
    schema[Symbol.dispose]()
  }
  return {
    ...app,
    ...services,
    schema,
    /** Sends a request such as `GET /path` unchanged, and returns the response. Fails if anything follows it. */
    send: (line: string, more: More = {}) => exchange(app.url(''), {...wordsOf(line), ...more}),
    /** Like send(), but the test sends the body. */
    begin: (line: string, more: More = {}) => open(app.url(''), {...wordsOf(line), ...more}),
    close,
  }
}

type More = Omit<Request, 'method' | 'path'>

function wordsOf(line: string): Pick<Request, 'method' | 'path'> {
  const [method = '', path = ''] = line.split(' ', 2)
  return {method, path}
}

export type Served = Awaited<ReturnType<typeof startServed>>

/** `json` as every.Every formats it: what an echo of it must be. */
export function everyJson({registry}: Schema, json: JsonValue): JsonValue {
  const every = registry.getMessage('every.Every')!
  return toJson(every, fromJson(every, json, {registry}) as Message, {registry})
}

/** For a handler that says nothing: rejects when the call ends, and never resolves. */
export function silence({signal}: CallContext): Promise<never> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}
