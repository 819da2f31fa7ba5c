import type {NamedMethod} from '../../transcoding/mcp/tools.ts'
import type {Transcoder} from '../../transcoding/transcoder.ts'
import type {CallsServed} from '../served.ts'

/** What a gateway serves by the Model Context Protocol, and how: made once. */
export interface McpServed extends CallsServed {
  /** What the server calls itself. */
  readonly title: string
  readonly version: string
  readonly transcoder: Transcoder
  readonly methods: readonly NamedMethod[]
  /** What a request is for until its body has been read: for those who may call a tool. `/mcp` is its name in AUTH_PUBLIC. */
  readonly access: {readonly name: string; readonly oneOf: readonly string[]}
}
