import {createHash} from 'node:crypto'
import {type Metadata, status} from '@grpc/grpc-js'
import {crc32c} from '@node-rs/crc32'
import type {RepoContext, RepoCreateRequest} from '../../src/gen/repo_pb.js'
import {StatusError} from '../grpc/status-error.ts'
import type {RepoCall} from './repo-call.ts'

/** The facts of a complete upload. */
export interface Digest {
  name: string
  creatorId: string
  size: number
  /** Base64 of the big-endian CRC32C, as Storage writes it. */
  crc32c: string
  /** Hex. */
  sha256?: string
  /** The number of data messages, and the size of the largest, in bytes. */
  messages: {count: number; max: number}
}

/** The size of a reply is an int32. */
const maxSize = 2 ** 31 - 1

/** Reads an upload to its end and checks it against the announced facts. Throws a StatusError. */
export async function receive(
  requests: AsyncIterable<RepoCreateRequest>,
  call: RepoCall,
  options: {sha256: boolean},
): Promise<Digest> {
  const announced = announcedIn(call.metadata)
  const sha256 = options.sha256 ? createHash('sha256') : undefined
  let max = 0
  const iterator = requests[Symbol.asyncIterator]()
  const context = contextIn(await next(iterator, call))
  let crc = 0
  for (let request = await next(iterator, call); request; request = await next(iterator, call)) {
    const data = dataIn(request)
    crc = crc32c(data, crc)
    sha256?.update(data)
    max = Math.max(max, data.length)
    call.count(data.length)
    checkRoom(call.bytes, announced.size)
  }
  call.end()
  const digest = {size: call.bytes, crc32c: base64(crc)}
  checkWhole(digest, announced)
  const {name, creatorId} = context
  const messages = {count: call.messages, max}
  return {name, creatorId, ...digest, ...(sha256 && {sha256: sha256.digest('hex')}), messages}
}

interface Announced {
  size: number | undefined
  crc32c: string | undefined
}

function announcedIn(metadata: Metadata): Announced {
  const size = metadata.get('x-object-size')[0]?.toString()
  if (size !== undefined && !/^\d{1,15}$/.test(size)) {
    throw new StatusError(status.INVALID_ARGUMENT, `Cannot take x-object-size "${size}": not a number of bytes`)
  }
  checkRoom(Number(size ?? 0), undefined)
  return {size: size === undefined ? undefined : Number(size), crc32c: metadata.get('x-object-crc32c')[0]?.toString()}
}

async function next(
  iterator: AsyncIterator<RepoCreateRequest>,
  call: RepoCall,
): Promise<RepoCreateRequest | undefined> {
  if (call.behaviour.slow) await call.mayRead()
  const {done, value} = await iterator.next()
  return done ? undefined : value
}

function contextIn(request: RepoCreateRequest | undefined): RepoContext {
  if (request?.body.case === 'context') return request.body.value
  if (request && !request.body.case) throw empty()
  const came = request ? request.body.case : 'nothing'
  throw new StatusError(status.INVALID_ARGUMENT, `The first message is ${came}, and should be the context`)
}

function dataIn({body}: RepoCreateRequest): Uint8Array {
  if (body.case === 'data') return body.value
  if (!body.case) throw empty()
  throw new StatusError(status.INVALID_ARGUMENT, `A later message is ${body.case}, and should be data`)
}

function empty(): StatusError {
  return new StatusError(status.INVALID_ARGUMENT, "Message doesn't contain context or data")
}

function checkRoom(size: number, announced: number | undefined): void {
  if (size > maxSize) throw new StatusError(status.OUT_OF_RANGE, `Cannot keep more than ${maxSize} bytes`)
  if (announced !== undefined && size > announced) {
    throw new StatusError(status.DATA_LOSS, `More than the announced ${announced} bytes came`)
  }
}

/** Nothing short or damaged is ever kept. */
function checkWhole({size, crc32c}: Pick<Digest, 'size' | 'crc32c'>, announced: Announced): void {
  if (announced.size !== undefined && size !== announced.size) {
    throw new StatusError(status.DATA_LOSS, `${size} of the announced ${announced.size} bytes came`)
  }
  if (announced.crc32c !== undefined && crc32c !== announced.crc32c) {
    throw new StatusError(status.DATA_LOSS, `The CRC32C is "${crc32c}", and "${announced.crc32c}" was announced`)
  }
}

function base64(crc: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc)
  return bytes.toString('base64')
}
