import {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {Busboy} from '@fastify/busboy'
import {Fault} from '../core/fault.ts'
import type {Scope} from './scope.ts'

/** One part of a multipart/form-data body. */
export interface FormPart {
  name: string
  value: Uint8Array
  filename?: string
  contentType?: string
}

/** What is read whole is at most this long, in bytes; and so many parts. */
const limit = 1024 * 1024
const mostParts = 1000

/**
 * The parts of a multipart/form-data body; one without `Content-Disposition: form-data` is none, and left out.
 * @throws {Fault} 400 when it is malformed, 413 beyond 1 MiB or 1,000 parts, 415 when it is compressed
 */
export async function partsOf(scope: Scope): Promise<FormPart[]> {
  const body = await scope.bytes(limit)
  const parts: FormPart[] = []
  try {
    const parser = new Busboy({
      headers: {'content-type': scope.contentType ?? ''},
      limits: {parts: mostParts},
      // Every part is bytes: what they mean is for the field to say.
      isPartAFile: () => true,
    })
    parser.on('file', (name: string | undefined, stream, filename, _encoding, contentType) => {
      const pieces: Buffer[] = []
      // Of a part that ends early the parser says so too.
      stream.on('error', () => {})
      if (name === undefined) parser.destroy(new Error('a part has no name'))
      else stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.on('end', () => parts.push({name: name!, value: Buffer.concat(pieces), filename, contentType}))
    })
    parser.on('partsLimit', () => parser.destroy(tooMany()))
    await pipeline(Readable.from([body]), parser, {signal: scope.signal})
  } catch (cause) {
    if (scope.signal.aborted) throw scope.signal.reason
    if (cause instanceof Fault) throw cause
    throw Fault.invalid('body', `Cannot read the multipart body: ${(cause as Error).message}`)
  }
  return parts
}

function tooMany(): Fault {
  return Fault.invalid('body', `The multipart body has more than ${mostParts} parts`, {http: 413})
}
