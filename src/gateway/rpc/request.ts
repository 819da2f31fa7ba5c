import type {DescMethod, Registry} from '@bufbuild/protobuf'
import type {Call, Requests} from '../../clients/call.ts'
import type {GatewayConfig} from '../../core/config.ts'
import type {Scope} from '../../http/scope.ts'
import type {MessageCheck} from '../../transcoding/checks/check.ts'
import type {MetadataEntry, MetadataOptions} from '../../transcoding/metadata.ts'
import type {RpcForm} from '../../transcoding/rpc/media.ts'

/** What a gateway serves by RPC, and how: made once. */
export interface RpcServed {
  readonly settings: GatewayConfig
  readonly methods: readonly DescMethod[]
  readonly registry: Registry
  /** Which request headers go to the backend. */
  readonly metadata: MetadataOptions
  /** What checks the request messages of a method. */
  checkOf(method: DescMethod): MessageCheck | undefined
  /** Told that a backend does not have a method that the schema has. */
  readonly doubt?: (() => void) | undefined
  /** A call that has yet to be made. */
  callOf(scope: Scope, method: DescMethod, sent: RpcSent): Call
}

/** What goes to the backend. */
export interface RpcSent {
  readonly requests: Requests
  readonly metadata: readonly MetadataEntry[]
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
