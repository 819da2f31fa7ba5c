import {ignoresUnknownFields} from '../../core/dialect.ts'
import type {Scope} from '../../http/scope.ts'
import {type ResourceTemplate, resourcePath, resourceTemplatesOf} from '../../transcoding/mcp/resources.ts'
import {type Tool, toolsOf} from '../../transcoding/mcp/tools.ts'
import {type RpcMessages, rpcMessages} from '../../transcoding/rpc/messages.ts'
import type {Binding} from '../../transcoding/rules/bindings.ts'
import type {Match} from '../../transcoding/rules/router.ts'
import {nameOf} from './selection.ts'
import type {McpServed} from './served.ts'

/** A tool with the decoder of its requests. */
export interface ServedTool extends Tool {
  readonly access: {readonly name: string}
  readonly messages: RpcMessages
}

/** The tools and resources of one gateway. */
export class McpCatalog {
  readonly tools: ReadonlyMap<string, ServedTool>
  readonly templates: readonly (ResourceTemplate & {readonly name: string})[]
  readonly #served: McpServed
  readonly #resources: ReadonlySet<Binding>

  constructor(served: McpServed) {
    const {transcoder, methods, settings} = served
    const {registry, bindings} = transcoder
    const ignoreUnknown = ignoresUnknownFields(settings)
    const tools = toolsOf(methods, registry, {refusesUnknown: !ignoreUnknown})
    this.#served = served
    this.tools = new Map(
      tools.map((tool) => {
        const {method} = tool
        const options = {registry, ignoreUnknown, maxValues: settings.maxBodyValues, check: served.checkOf(method)}
        return [tool.name, {...tool, access: {name: nameOf(method)}, messages: rpcMessages(method, 'json', options)}]
      }),
    )
    const names = new Map(methods.map(({method, name}) => [method, name]))
    this.templates = resourceTemplatesOf(bindings.filter(({method}) => names.has(method))).map((template) => ({
      ...template,
      name: names.get(template.binding.method)!,
    }))
    this.#resources = new Set(this.templates.map(({binding}) => binding))
  }

  /** The route of the GET that reads a resource; undefined for a URI of no resource. */
  resourceAt(uri: unknown): Match<Binding> | undefined {
    const path = typeof uri === 'string' ? resourcePath(uri) : undefined
    if (path === undefined || !isUtf8(path)) return undefined
    const match = this.#served.transcoder.route('GET', path)
    return 'binding' in match && this.#resources.has(match.binding) ? match : undefined
  }

  /** What a message accesses: the method that a call names. Other messages are open to callers that may call at least one method. */
  accessFor(message: unknown): Parameters<Scope['admit']>[0] {
    const {method, params} = (message ?? {}) as {method?: unknown; params?: {name?: unknown; uri?: unknown}}
    const tool = method === 'tools/call' ? this.tools.get(String(params?.name)) : undefined
    if (tool) return tool.access
    const match = method === 'resources/read' ? this.resourceAt(params?.uri) : undefined
    if (match) return {name: nameOf(match.binding.method)}
    return this.#served.access
  }
}

function isUtf8(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}
