import type {DescMessage, DescMethodClientStreaming, Message, MessageInitShape, MessageShape} from '@bufbuild/protobuf'
import type {ClientOptions} from '../clients/service-client.ts'
import type {Scope} from '../http/scope.ts'
import type {Chunk} from './chunks.ts'

/** A method that takes a stream of messages and answers once. */
export type UploadMethod = DescMethodClientStreaming<DescMessage, DescMessage>

/** What is known of an upload. */
export interface Facts {
  /** In bytes; undefined where it is known only at the end. */
  readonly size?: number | undefined
  /** Base64 of the big-endian CRC32C of all bytes, as Storage has it. */
  readonly crc32c?: string | undefined
  /** The generation of the Storage object that is uploaded. */
  readonly generation?: string | undefined
}

/** How an upload is sent, and what its reply must prove. */
export interface UploadOptions<M extends UploadMethod = UploadMethod> extends ClientOptions {
  /** The method that takes the upload: `Repo.method.createRepo`. */
  readonly method: M
  /**
   * The field of its request that carries the bytes, by its name in the generated code; `chunk.data` where it is inside
   * another message. Unless given, the only field of bytes that the request has.
   */
  readonly data?: BytesField<MessageShape<M['input']>>
  /**
   * The message of the request that is made of the caller's context and sent first. Unless given, the context is
   * the request itself, without `data`.
   */
  readonly context?: MessageField<MessageShape<M['input']>>
  /** Fields of the context that must not be empty: `creatorId`, `owner.name`. */
  readonly required?: readonly string[]
  /** The field of the context, a string, that UPLOAD_CREATOR fills with a claim of the verified caller: `creatorId`. */
  readonly creator?: string
  /** Changes the first message, which has the caller's context. `undefined`: none is sent before the bytes. */
  readonly first?: (
    message: MessageShape<M['input']>,
    facts: Facts,
    scope: Scope,
  ) => MessageInitShape<M['input']> | undefined
  /** Fields that each message of bytes has beside them, such as an offset. With it, an empty upload sends one such message. */
  readonly fields?: (chunk: Chunk) => MessageInitShape<M['input']>
  /** How many bytes the backend says that it has: any other number than was sent is answered with 502 DATA_LOSS. */
  readonly sizeOf?: (reply: MessageShape<M['output']>) => number | bigint
  /** Throws a Fault for a reply that does not prove the upload. `facts` has the size that was sent. */
  readonly verify?: (reply: MessageShape<M['output']>, facts: Facts) => void
  /** The most bytes of an upload: more are refused, before anything is sent where the size is known. No limit unless given. */
  readonly maxBytes?: number
  /** Bytes in each message, the last one excepted: 256 KiB unless given. Most servers take messages of 4 MiB at most. */
  readonly chunkBytes?: number
  /** The buckets that uploads may come from; UPLOAD_BUCKETS unless given. */
  readonly buckets?: Iterable<string>
}

/** A message as its descriptor alone types it: no names are known. */
type Untyped<T> = Message extends T ? true : false

/** `[name, value]` of each field of T, those of oneofs included. */
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

/** The names of the fields of bytes of T: those of its own, and those of messages in it. */
export type BytesField<T> =
  Untyped<T> extends true ? string : NamesOf<FieldsOf<T>, Uint8Array> | NestedBytes<FieldsOf<T>>

/** The names of the fields of T that are one message. */
export type MessageField<T> = Untyped<T> extends true ? string : NamesOf<FieldsOf<T>, Message>
