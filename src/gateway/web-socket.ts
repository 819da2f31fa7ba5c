import {type DescMethod, type Message, toBinary} from '@bufbuild/protobuf'
import type {Call, Requests} from '../clients/call.ts'
import {invoke} from '../clients/interceptors.ts'
import {onlyAnswer} from '../clients/service-client.ts'
import type {GatewayConfig} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {Frame, Reply, WebSocketStream} from '../http/reply.ts'
import {isBearer} from '../http/upgrade.ts'
import type {FrameExchange} from '../transcoding/exchange.ts'

/** One call over a WebSocket. */
export interface WebSocketCall {
  readonly frames: FrameExchange
  /** The subprotocols that the caller offers. */
  readonly offered: readonly string[]
  readonly settings: GatewayConfig
  /** The call that has `requests`. */
  callWith(requests: Requests): Call
}

/** The subprotocols that say how messages are written; the first one unless the caller offers another. */
const protocols: readonly string[] = ['json', 'proto']

/**
 * The WebSocket of a call: each frame of the caller is a message of the request, until an empty text, and each answer is a
 * frame: text with its JSON, or as `proto` its bytes.
 * @throws {Fault} 400 for subprotocols none of which is known
 */
export function webSocketReply({frames, offered, settings, callWith}: WebSocketCall): Reply {
  const protocol = chosen(offered)
  const {read, write} = protocol === 'proto' ? inBinary(frames) : inJson(frames)
  return {
    webSocket: {
      protocol,
      maxFrameBytes: settings.maxBodyBytes,
      ping: settings.eventStreamPing,
      async run(stream) {
        const call = callWith(() => requestsOf(stream, read, frames.method))
        for await (const answer of answersOf(call)) await stream.send(write(answer))
      },
    },
  }
}

/** A browser gives up on a WebSocket whose server takes none of the subprotocols that it offers. */
function chosen(offered: readonly string[]): string | undefined {
  const known = offered.find((name) => protocols.includes(name))
  if (known !== undefined || offered.length === 0) return known
  const token = offered.find(isBearer)
  if (token !== undefined) return token
  throw Fault.invalid('sec-websocket-protocol', `No subprotocol is known: expected ${protocols.join(' or ')}`)
}

interface Codec {
  /** @throws {Fault} 400 */
  read(frame: Frame): Message
  write(answer: Message): Frame
}

function inJson({json, encode}: FrameExchange): Codec {
  return {read: (frame) => (typeof frame === 'string' ? json(frame) : refuse('binary', 'text')), write: encode}
}

function inBinary({binary, method: {output}}: FrameExchange): Codec {
  return {
    read: (frame) => (typeof frame === 'string' ? refuse('text', 'a binary one') : binary(frame)),
    write: (answer) => toBinary(output, answer),
  }
}

function refuse(given: string, expected: string): never {
  throw Fault.invalid('body', `A frame is ${given}: expected ${expected}`)
}

async function* answersOf(call: Call): AsyncIterable<Message> {
  if (call.method.methodKind === 'client_streaming') yield await onlyAnswer(call)
  else yield* invoke(call) as AsyncIterable<Message>
}

async function* requestsOf(
  stream: WebSocketStream,
  read: Codec['read'],
  {input}: DescMethod,
): AsyncGenerator<Uint8Array> {
  for await (const frame of stream.frames) yield toBinary(input, read(frame))
}
