import type {DescMethod} from '@bufbuild/protobuf'
import type {Call, Requests} from '../clients/call.ts'
import type {GatewayConfig} from '../core/config.ts'
import type {Scope} from '../http/scope.ts'
import type {MessageCheck} from '../transcoding/checks/check.ts'
import type {MessageRouting} from '../transcoding/conventions/routing-of-message.ts'
import type {MetadataEntry, MetadataOptions} from '../transcoding/metadata.ts'

/** What is sent to the backend. */
export interface Sent {
  readonly requests: Requests
  readonly metadata: readonly MetadataEntry[]
}

/** What the protocols beside REST need to make calls; made once for each. */
export interface CallsServed {
  readonly settings: GatewayConfig
  /** Which request headers are forwarded to the backend. */
  readonly metadata: MetadataOptions
  /** Gives the check for the request messages of a method. */
  checkOf(method: DescMethod): MessageCheck | undefined
  /** What the routing header of a call of `method` is made of: the bytes of its message. */
  routingOf(method: DescMethod): MessageRouting | undefined
  /** Creates a call, which is not started yet. */
  callOf(scope: Scope, method: DescMethod, sent: Sent): Call
}
