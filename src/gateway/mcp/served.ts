import type {NamedMethod} from '../../transcoding/mcp/tools.ts'
import type {Transcoder} from '../../transcoding/transcoder.ts'
import type {CallsServed} from '../served.ts'

/** One gateway's settings for the Model Context Protocol; made once. */
export interface McpServed extends CallsServed {
  /** The name that the server reports. */
  readonly title: string
  readonly version: string
  readonly transcoder: Transcoder
  readonly methods: readonly NamedMethod[]
  /** What a request is for until its body has been read: for those who may call a tool. `/mcp` is its name in AUTH_PUBLIC. */
  readonly access: {readonly name: string; readonly oneOf: readonly string[]}
}
