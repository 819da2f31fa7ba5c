import {create, type DescMethod, type FileRegistry, type Message, toBinary, toJson} from '@bufbuild/protobuf'
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import type {Metadata} from '@grpc/grpc-js'
import type {CallRuntime} from '../../src/clients/call.ts'
import {invoke} from '../../src/clients/calls/interceptors.ts'
import {Channels} from '../../src/clients/channels.ts'
import {credentialsOf} from '../../src/clients/identity/credentials.ts'
import {IdTokens} from '../../src/clients/identity/id-tokens.ts'
import {reflected} from '../../src/clients/reflection.ts'
import {callOf} from '../../src/clients/service-client.ts'
import {type Backend, type Config, ConfigError, readConfig} from '../../src/core/config.ts'
import {Fault} from '../../src/core/fault.ts'
import type {Life} from '../../src/core/life.ts'
import {messageFromJson} from '../../src/transcoding/json/message.ts'
import {readSchema} from '../../src/transcoding/schema/schema.ts'
import {type CallOptions, headersOf, type Shown, timeoutOf} from './commands/call.ts'
import {commandLife} from './life.ts'
import {messagesOf} from './messages.ts'
import {CommandError} from './output.ts'
import {schemaOf} from './schema.ts'

/** Default timeout of a call with a stream, in ms. */
const forEver = 24 * 60 * 60 * 1000

/**
 * Calls a method directly at its backend, with an ID token if the configuration has an audience.
 * @throws {Fault} the error of the call
 * @throws {CommandError} for an unknown method
 */
export async function callBackend(
  {service, method: name}: {service: string; method: string},
  options: CallOptions,
  shown: Shown,
): Promise<void> {
  const config = configOf(options)
  const backend = config.backendOf(service)
  const channels = new Channels(config)
  const runtime = {channels, idTokens: new IdTokens(credentialsOf(config))}
  const end = new AbortController()
  const timers: NodeJS.Timeout[] = []
  const lifeOf = (seconds: number | undefined) => {
    const timeout = seconds === undefined ? forEver : seconds * 1000
    timers.push(setTimeout(() => end.abort(new Fault('DEADLINE_EXCEEDED', `No answer within ${seconds} s`)), timeout))
    return commandLife(end.signal, Date.now() + timeout, (text) => shown.note(text))
  }
  try {
    const registry = await schemaOf(options.schema, async () => {
      const seconds = timeoutOf(options, false)!
      const {files} = await reflected(runtime, lifeOf(seconds), backend, seconds * 1000)
      return readSchema(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file: [...files]})))
    })
    const method = methodIn(registry, service, name)
    const life = lifeOf(timeoutOf(options, method.methodKind !== 'unary'))
    await exchange(runtime, {life, backend, method, registry, options, shown})
  } finally {
    for (const timer of timers) clearTimeout(timer)
    channels.close()
  }
}

/** @throws {CommandError} for an invalid environment or command line */
function configOf({backend, audience}: CallOptions): Config {
  const {BACKEND_URL, ...others} = process.env
  try {
    if (typeof backend !== 'string') {
      return readConfig({...process.env, ...(audience !== undefined && {BACKEND_AUDIENCE: audience})})
    }
    const kept = Object.entries(others).filter(([name]) => !/^BACKEND_(URL|AUDIENCE)/.test(name))
    const own = BACKEND_URL === backend ? process.env.BACKEND_AUDIENCE : undefined
    return readConfig({...Object.fromEntries(kept), BACKEND_URL: backend, BACKEND_AUDIENCE: audience ?? own})
  } catch (error) {
    throw error instanceof ConfigError ? new CommandError(error.message, 2) : error
  }
}

/** @throws {CommandError} that lists the known services or methods */
export function methodIn(registry: FileRegistry, service: string, name: string): DescMethod {
  const desc = registry.getService(service)
  if (!desc) {
    const services = [...registry].flatMap((type) => (type.kind === 'service' ? type.typeName : []))
    throw new CommandError(`There is no service "${service}": the schema has ${services.join(', ') || 'none'}`, 2)
  }
  const method = desc.methods.find((candidate) => candidate.name === name)
  if (method) return method
  const names = desc.methods.map((candidate) => candidate.name)
  throw new CommandError(`${service} has no method "${name}": it has ${names.join(', ')}`, 2)
}

interface Exchanged {
  readonly life: Life
  readonly backend: Backend
  readonly method: DescMethod
  readonly registry: FileRegistry
  readonly options: CallOptions
  readonly shown: Shown
}

async function exchange(runtime: CallRuntime, given: Exchanged): Promise<void> {
  const {life, backend, method, registry, options, shown} = given
  const read = (text: string) => messageFromJson(method.input, text, {registry, ignoreUnknown: false})
  const isStream = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming'
  const requests = isStream ? undefined : [read(await onlyOf(method, options))]
  const call = callOf(
    runtime,
    {
      ...{life, backend, method},
      requests: requests ? () => requests : () => mapped(messagesOf(options.data), read),
    },
    {timeout: life.deadline - Date.now()},
  )
  call.types = registry
  for (const [name, value] of Object.entries(headersOf(options))) {
    call.metadata.set(name, name.endsWith('-bin') ? Buffer.from(value, 'base64') : value)
  }
  shown.note(`> ${method.parent.typeName}/${method.name} at ${backend.url}`)
  try {
    let isFirst = true
    for await (const message of invoke(call)) {
      if (isFirst) shown.headers(entriesOf(call.header))
      isFirst = false
      shown.message(toJson(method.output, message as Message, {registry}))
    }
    if (isFirst) shown.headers(entriesOf(call.header))
  } finally {
    shown.trailers(entriesOf(call.trailer))
  }
}

/** The one message of a request without a stream: an empty one where none is given. @throws {CommandError} for more than one */
export async function onlyOf(method: DescMethod, {data}: CallOptions): Promise<string> {
  const texts: string[] = []
  for await (const text of messagesOf(data)) texts.push(text)
  if (texts.length <= 1) return texts[0] ?? '{}'
  throw new CommandError(`${method.parent.typeName}/${method.name} takes one message, and there are ${texts.length}`, 2)
}

async function* mapped<T, U>(items: AsyncIterable<T>, map: (item: T) => U): AsyncGenerator<U> {
  for await (const item of items) yield map(item)
}

function entriesOf(metadata: Metadata | undefined): Record<string, string> {
  const all = Object.entries(metadata?.getMap() ?? {})
  return Object.fromEntries(
    all.map(([name, value]) => [name, typeof value === 'string' ? value : value.toString('base64')]),
  )
}
