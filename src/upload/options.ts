import type {DescMessage, DescMethodClientStreaming, Message, MessageInitShape, MessageShape} from '@bufbuild/protobuf'
import type {ClientOptions} from '../clients/service-client.ts'
import type {Scope} from '../http/scope.ts'
import type {Chunk} from './chunks.ts'

/** A client-streaming method. */
export type UploadMethod = DescMethodClientStreaming<DescMessage, DescMessage>

/** Facts about an upload. */
export interface Facts {
  /** Size in bytes; undefined if it is known only at the end. */
  readonly size?: number | undefined
  /** Base64 of the big-endian CRC32C of all bytes, as in Storage. */
  readonly crc32c?: string | undefined
  /** The generation of the uploaded Storage object. */
  readonly generation?: string | undefined
}

/** How an upload is sent, and how its reply is checked. */
export interface UploadOptions<M extends UploadMethod = UploadMethod> extends ClientOptions {
  /** The method to call: `Repo.method.createRepo`. */
  readonly method: M
  /**
   * The request field for the bytes, by its name in the generated code, for example `chunk.data` if it is nested in another message. May
   * be left out if the request has only one bytes field.
   */
  readonly data?: BytesField<MessageShape<M['input']>>
  /**
   * The message field of the request that holds the caller's context, which is sent first. Unless given, the context is the request
   * itself, without `data`.
   */
  readonly context?: MessageField<MessageShape<M['input']>>
  /** Fields of the context that must not be empty: `creatorId`, `owner.name`. */
  readonly required?: readonly string[]
  /** The string field of the context that UPLOAD_CREATOR fills with a claim of the verified caller: `creatorId`. */
  readonly creator?: string
  /** Changes the first message, which has the caller's context. If it returns undefined, no message is sent before the bytes. */
  readonly first?: (
    message: MessageShape<M['input']>,
    facts: Facts,
    scope: Scope,
  ) => MessageInitShape<M['input']> | undefined
  /** Additional fields of each message with bytes, such as an offset. If given, an empty upload sends one such message. */
  readonly fields?: (chunk: Chunk) => MessageInitShape<M['input']>
  /** The number of bytes that the backend has received, by its reply. If it differs from the bytes sent, the answer is 502 DATA_LOSS. */
  readonly sizeOf?: (reply: MessageShape<M['output']>) => number | bigint
  /** Checks the reply, and throws a Fault if it does not confirm the upload. `facts.size` is the number of bytes sent. */
  readonly verify?: (reply: MessageShape<M['output']>, facts: Facts) => void
  /** Limit for an upload, in bytes: none unless given. If the size is known, a larger upload is refused before anything is sent. */
  readonly maxBytes?: number
  /** Bytes in each message except the last one: 256 KiB unless given. Most servers accept messages of at most 4 MiB. */
  readonly chunkBytes?: number
  /** The buckets that objects may be read from: UPLOAD_BUCKETS unless given. */
  readonly buckets?: Iterable<string>
}

/** Whether T is the base type Message, whose field names are unknown. */
type Untyped<T> = Message extends T ? true : false

/** `[name, value]` for each field of T, including members of oneofs. */
type FieldsOf<T> = {
  [K in Exclude<keyof T, `$${string}`> & string]: NonNullable<T[K]> extends infer V
    ? V extends {case: infer C extends string; value: infer W}
      ? [C, W]
      : V extends {case: undefined}
        ? never
        : [K, V]
    : never
}[Exclude<keyof T, `$${string}`> & string]

type NamesOf<F, Kind> = F extends [infer K extends string, infer V] ? (V extends Kind ? K : never) : never

type NestedBytes<F> = F extends [infer K extends string, infer V extends Message]
  ? `${K}.${NamesOf<FieldsOf<V>, Uint8Array>}`
  : never

/** The names of the bytes fields of T, including those of nested messages. */
export type BytesField<T> =
  Untyped<T> extends true ? string : NamesOf<FieldsOf<T>, Uint8Array> | NestedBytes<FieldsOf<T>>

/** The names of the singular message fields of T. */
export type MessageField<T> = Untyped<T> extends true ? string : NamesOf<FieldsOf<T>, Message>
