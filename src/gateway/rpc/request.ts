import type {DescMethod, Registry} from '@bufbuild/protobuf'
import type {Call} from '../../clients/call.ts'
import type {RpcForm} from '../../transcoding/rpc/media.ts'
import type {CallsServed} from '../served.ts'

/** One gateway's settings for RPC; made once. */
export interface RpcServed extends CallsServed {
  readonly methods: readonly DescMethod[]
  readonly registry: Registry
  /** Called when a backend does not have a method of the schema. */
  readonly doubt?: (() => void) | undefined
}

/** One RPC request. */
export interface RpcRequest {
  readonly served: RpcServed
  /** Undefined for a path that no method has. */
  readonly method: DescMethod | undefined
  /** The format of its body; undefined for a GET, whose query tells the format, and for requests that are refused in any case. */
  readonly form: RpcForm | undefined
  /** The header `Accept`. */
  readonly accept: string | undefined
  /** Its call, once it is made. */
  call?: Call
}
