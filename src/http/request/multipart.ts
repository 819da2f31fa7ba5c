import {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {Busboy} from '@fastify/busboy'
import {Fault} from '../../core/fault.ts'
import {turn} from '../../core/waiting.ts'
import type {Scope} from '../scope.ts'

/** One part of a multipart/form-data body. */
export interface FormPart {
  name: string
  value: Uint8Array
  filename?: string
  contentType?: string
}

/** Limits for a multipart body. */
export interface FormLimits {
  readonly maxBytes: number
  readonly maxParts: number
}

/** Limit for the parts of a body. */
const maxFormParts = 1000

/** Number of bytes that are parsed before other requests get their turn. */
const sliceSize = 16 * 1024

/**
 * The parts of a multipart/form-data body. Parts without `Content-Disposition: form-data` are left out.
 * @throws {Fault} 400 when it is malformed or has more than `maxParts`, 413 beyond `maxBytes` or 1,000 parts, 415 when it is
 *   compressed
 */
export async function partsOf(scope: Scope, {maxBytes, maxParts}: FormLimits): Promise<FormPart[]> {
  const body = await scope.bytes(maxBytes)
  const parts: FormPart[] = []
  try {
    const parser = new Busboy({
      headers: {'content-type': scope.contentType ?? ''},
      limits: {parts: Math.min(maxFormParts, maxParts)},
      // Every part is bytes. The type of its field decides how they are read.
      isPartAFile: () => true,
    })
    parser.on('file', (name: string | undefined, stream, filename, _encoding, contentType) => {
      const pieces: Buffer[] = []
      // The parser also reports a part that ends early.
      stream.on('error', () => {})
      if (name === undefined) parser.destroy(new Error('a part has no name'))
      else stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.on('end', () => parts.push({name: name!, value: Buffer.concat(pieces), filename, contentType}))
    })
    parser.on('partsLimit', () => parser.destroy(tooMany(maxParts)))
    await pipeline(Readable.from(slices(body)), parser, {signal: scope.signal})
  } catch (cause) {
    if (scope.signal.aborted) throw scope.signal.reason
    if (cause instanceof Fault) throw cause
    throw Fault.invalid('body', `Cannot read the multipart body: ${(cause as Error).message}`)
  }
  return parts
}

async function* slices(body: Buffer): AsyncGenerator<Buffer> {
  for (let start = 0; start < body.length; start += sliceSize) {
    await turn()
    yield body.subarray(start, start + sliceSize)
  }
}

function tooMany(maxParts: number): Fault {
  if (maxParts <= maxFormParts)
    return Fault.invalid('body', `The multipart body has more than ${maxParts} parts`, {hint})
  return Fault.invalid('body', `The multipart body has more than ${maxFormParts} parts`, {http: 413})
}

const hint = 'GATEWAY_MAX_BODY_VALUES is the limit'
