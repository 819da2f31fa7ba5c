import {type DescMethod, type Message, toBinary} from '@bufbuild/protobuf'
import type {Call, Requests} from '../clients/call.ts'
import {invoke} from '../clients/calls/interceptors.ts'
import {onlyAnswer} from '../clients/service-client.ts'
import type {GatewayConfig} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {Frame, Reply, WebSocketStream} from '../http/response/reply.ts'
import {isBearer} from '../http/response/upgrade.ts'
import type {FrameExchange} from '../transcoding/exchange.ts'

/** One call over a WebSocket. */
export interface WebSocketCall {
  readonly frames: FrameExchange
  /** The subprotocols that the caller offers. */
  readonly offered: readonly string[]
  readonly settings: GatewayConfig
  /** Creates the call with these request messages. */
  callWith(requests: Requests): Call
}

/** The subprotocols, which choose the message format. The first one is the default. */
const protocols: readonly string[] = ['json', 'proto']

/**
 * The WebSocket of a call. Each frame from the caller is a request message, and an empty text frame ends the request stream. Each
 * answer is a frame: a text frame with JSON, or a binary one with the subprotocol `proto`.
 * @throws {Fault} 400 if none of the offered subprotocols is known
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

/** Chooses one of the offered subprotocols. A browser closes a WebSocket if the server accepts none of them. */
function chosen(offered: readonly string[]): string | undefined {
  const known = offered.find((name) => protocols.includes(name))
  if (known !== undefined || offered.length === 0) return known
  const token = offered.find(isBearer)
  if (token !== undefined) return token
  throw Fault.invalid('sec-websocket-protocol', `None of the subprotocols is known: expected ${protocols.join(' or ')}`)
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
