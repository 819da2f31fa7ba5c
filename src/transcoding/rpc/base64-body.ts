import {base64Encode} from '@bufbuild/protobuf/wire'
import {Fault} from '../../core/fault.ts'
import {readBase64} from '../fields/scalars.ts'
import {joined} from './frames.ts'

/** Characters that encode three bytes. */
const quantum = 4

const latin1 = new TextDecoder('latin1')
const ascii = new TextEncoder()

/** Encodes `bytes` in padded base64. A body may be several of these one after the other (gRPC-Web, `-text`). */
export function base64Body(bytes: Uint8Array): Uint8Array {
  return ascii.encode(base64Encode(bytes))
}

/** Decodes a base64 body while it arrives. Padding may occur in the middle, where two encoded pieces were joined. */
export class Base64Reader {
  #rest = ''

  /** @throws {Fault} 400 for invalid base64 */
  push(piece: Uint8Array): Uint8Array {
    const text = this.#rest + latin1.decode(piece)
    const whole = text.length - (text.length % quantum)
    this.#rest = text.slice(whole)
    const parts = text.slice(0, whole).match(/[^=]+=*/g) ?? (whole > 0 ? [text] : [])
    const decoded = parts.map((part) => (part.length % quantum === 0 ? readBase64(part) : undefined))
    if (!decoded.every((bytes) => bytes !== undefined)) throw refused()
    return joined(decoded)
  }

  /** @throws {Fault} 400 when the body ends within a group of four characters */
  end(): void {
    if (this.#rest !== '') throw refused()
  }
}

function refused(): Fault {
  return Fault.invalid('body', 'Cannot read the request: the body is not base64')
}
