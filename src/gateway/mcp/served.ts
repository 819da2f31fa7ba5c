import type {DescMethod} from '@bufbuild/protobuf'
import type {Call} from '../../clients/call.ts'
import type {GatewayConfig} from '../../core/config.ts'
import type {Scope} from '../../http/scope.ts'
import type {MessageCheck} from '../../transcoding/checks/check.ts'
import type {NamedMethod} from '../../transcoding/mcp/tools.ts'
import type {MetadataOptions} from '../../transcoding/metadata.ts'
import type {Transcoder} from '../../transcoding/transcoder.ts'
import type {RpcSent} from '../rpc/request.ts'

/** What a gateway serves by the Model Context Protocol, and how: made once. */
export interface McpServed {
  readonly settings: GatewayConfig
  /** What the server calls itself. */
  readonly title: string
  readonly version: string
  readonly transcoder: Transcoder
  readonly methods: readonly NamedMethod[]
  /** Which request headers go to the backend. */
  readonly metadata: MetadataOptions
  /** What checks the request messages of a method. */
  checkOf(method: DescMethod): MessageCheck | undefined
  /** A call that has yet to be made. */
  callOf(scope: Scope, method: DescMethod, sent: RpcSent): Call
}
