import {create, type DescMessage, type JsonValue, type MessageInitShape, toJsonString} from '@bufbuild/protobuf'
import type {Fault} from '../fault.ts'

/** What a function answers. Who sends it, and that it is sent once, is the scope's affair. */
export interface Reply {
  /** The HTTP status; 200 unless given. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | string[]>>
  /** A value that is sent whole, or pieces that are sent as they come; nothing: an empty body. */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array>
  /** What is sent last when `body` fails after its first piece, before the connection is cut; nothing unless given. */
  readonly failure?: (fault: Fault) => string
}

const jsonType = 'application/json; charset=utf-8'

/** `value` as JSON. */
export function json(value: JsonValue, {status = 200, headers = {}}: Omit<Reply, 'body'> = {}): Reply {
  return {status, headers: {'content-type': jsonType, ...headers}, body: JSON.stringify(value)}
}

/** A message in proto3's JSON mapping. */
export function message<Desc extends DescMessage>(schema: Desc, value: MessageInitShape<Desc>): Reply {
  return {headers: {'content-type': jsonType}, body: toJsonString(schema, create(schema, value))}
}

/** A failure, in the shape of AIP-193. */
export function failure(fault: Fault): Reply {
  return json(fault.toJSON(), {status: fault.http, headers: {...fault.headers}})
}

/** One JSON value a line, sent as they come; a failure is the last line. `values` are JSON already. */
export function ndjson(values: AsyncIterable<string>): Reply {
  return {
    headers: {'content-type': 'application/x-ndjson; charset=utf-8', 'cache-control': 'no-store'},
    body: mapped(values, (value) => `${value}\n`),
    failure: (fault) => `${JSON.stringify(fault.toJSON())}\n`,
  }
}

/** One server-sent event a value, its `id` counting from 1; a failure is an event named `error`. `values` are JSON already. */
export function eventStream(values: AsyncIterable<string>): Reply {
  let id = 0
  return {
    headers: {'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store'},
    body: mapped(values, (value) => `id: ${++id}\ndata: ${value}\n\n`),
    failure: (fault) => `event: error\ndata: ${JSON.stringify(fault.toJSON())}\n\n`,
  }
}

async function* mapped<T, U>(values: AsyncIterable<T>, to: (value: T) => U): AsyncGenerator<U> {
  for await (const value of values) yield to(value)
}
