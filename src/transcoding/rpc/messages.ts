import {type DescMethod, fromBinary, type Message, toBinary} from '@bufbuild/protobuf'
import {Fault} from '../../core/fault.ts'
import type {MessageCheck} from '../checks/check.ts'
import {refuseMissing} from '../fields/required.ts'
import type {JsonOptions} from '../json/fit.ts'
import {writtenJson} from '../json/floats.ts'
import {messageFromJson, recursionLimit} from '../json/message.ts'
import {ValueCount} from '../value-count.ts'
import type {RpcCodec} from './media.ts'
import {checkWire} from './wire-check.ts'

/** How the messages of a method are read and written. */
export interface RpcMessages {
  /** Converts a request message to the bytes for the backend. @throws {Fault} 400 */
  read(bytes: Uint8Array): Uint8Array
  /**
   * Converts a response message, or its bytes, to the bytes for the caller.
   * @throws {Fault} 500 for a message without a JSON form
   */
  write(message: Message | Uint8Array): Uint8Array
}

export interface RpcMessageOptions extends JsonOptions {
  /** Limit for the values of one request message. */
  readonly maxValues: number
  /** Checks each request message, as the last step. */
  readonly check?: MessageCheck | undefined
}

/** Reads and writes the messages of `method` in `codec`. Those of `proto` are checked and passed on unchanged. */
export function rpcMessages(method: DescMethod, codec: RpcCodec, options: RpcMessageOptions): RpcMessages {
  return codec === 'proto' ? protoMessages(method, options) : jsonMessages(method, options)
}

function protoMessages({input}: DescMethod, {maxValues, check}: RpcMessageOptions): RpcMessages {
  return {
    read(bytes) {
      checkWire(input, bytes, new ValueCount(maxValues))
      if (!check) return bytes
      const message = fromBinary(input, bytes, {recursionLimit})
      check(message)
      return toBinary(input, message)
    },
    write: (message) => message as Uint8Array,
  }
}

const utf8 = new TextEncoder()

function jsonMessages(method: DescMethod, {maxValues, check, ...options}: RpcMessageOptions): RpcMessages {
  const {input, output, parent, name} = method
  return {
    read(bytes) {
      const message = messageFromJson(input, bytes, options, new ValueCount(maxValues))
      refuseMissing(input, message)
      check?.(message)
      return toBinary(input, message)
    },
    write(message) {
      try {
        return utf8.encode(JSON.stringify(writtenJson(output, message as Message, options)))
      } catch (cause) {
        throw new Fault('INTERNAL', `Cannot write the answer of ${parent.typeName}.${name} as JSON`, {cause})
      }
    },
  }
}
