import type {DescMethod, Registry} from '@bufbuild/protobuf'
import type {Call} from '../../clients/call.ts'
import type {RpcForm} from '../../transcoding/rpc/media.ts'
import type {CallsServed} from '../served.ts'

/** What a gateway serves by RPC, and how: made once. */
export interface RpcServed extends CallsServed {
  readonly methods: readonly DescMethod[]
  readonly registry: Registry
  /** Told that a backend does not have a method that the schema has. */
  readonly doubt?: (() => void) | undefined
}

/** One request of RPC. */
export interface RpcRequest {
  readonly served: RpcServed
  /** Undefined for a path that no method has. */
  readonly method: DescMethod | undefined
  /** How it is written; undefined for a GET, whose query says so, and for what is refused whatever it says. */
  readonly form: RpcForm | undefined
  /** What the caller takes as response: `Accept`. */
  readonly accept: string | undefined
  /** Its call, as soon as it is made. */
  call?: Call
}
