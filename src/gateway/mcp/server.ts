import {type JsonValue, type Message, toBinary} from '@bufbuild/protobuf'
import {
  type CallToolRequest,
  type CallToolResult,
  ProtocolError,
  ProtocolErrorCode,
  type ReadResourceResult,
  Server,
  type ServerContext,
} from '@modelcontextprotocol/server'
import {invoke} from '../../clients/calls/interceptors.ts'
import {onlyAnswer} from '../../clients/service-client.ts'
import {type Code, Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {failureJson} from '../../http/response/failure.ts'
import type {Scope} from '../../http/scope.ts'
import {addRouting} from '../../transcoding/conventions/routing-header.ts'
import {writtenJson} from '../../transcoding/json/floats.ts'
import {rpcMetadata} from '../../transcoding/metadata.ts'
import {endWith} from '../answers.ts'
import type {McpCatalog, ServedTool} from './catalog.ts'
import {nameOf} from './selection.ts'
import type {McpServed} from './served.ts'

/** Limit for the messages of a stream in one result, in characters of JSON. */
const maxResult = 1024 * 1024

const utf8 = new TextEncoder()

/** Never called: the server sends no requests to clients, so there are no answers of theirs to validate. */
const noValidator = {
  getValidator: () => () => ({valid: true as const, data: undefined as never, errorMessage: undefined}),
}

/** The server of one request. */
export function serverOf(served: McpServed, catalog: McpCatalog, scope: Scope): Server {
  const {title: name, version} = served
  const hasResources = catalog.templates.length > 0
  const server = new Server(
    {name, version},
    {capabilities: {tools: {}, ...(hasResources && {resources: {}})}, jsonSchemaValidator: noValidator},
  )
  server.setRequestHandler('tools/list', () => ({tools: toolsFor(catalog, scope)}))
  server.setRequestHandler('tools/call', (request, context) => callTool(served, catalog, scope, {request, context}))
  if (!hasResources) return server
  server.setRequestHandler('resources/list', () => ({resources: []}))
  server.setRequestHandler('resources/templates/list', () => ({resourceTemplates: templatesFor(catalog, scope)}))
  server.setRequestHandler('resources/read', ({params}) => readResource(served, catalog, scope, params.uri))
  return server
}

/** The tools that the caller may call. */
function toolsFor({tools}: McpCatalog, scope: Scope) {
  return [...tools.values()]
    .filter(({access}) => scope.may(access.name))
    .map(({name, description, inputSchema, outputSchema, annotations}) => ({
      name,
      description,
      inputSchema: inputSchema as never,
      outputSchema: outputSchema as never,
      annotations,
    }))
}

function templatesFor({templates}: McpCatalog, scope: Scope) {
  return templates
    .filter(({binding}) => scope.may(nameOf(binding.method)))
    .map(({name, uriTemplate, description, mimeType}) => ({
      name,
      uriTemplate,
      description,
      ...(mimeType && {mimeType}),
    }))
}

interface ToolCall {
  readonly request: CallToolRequest
  readonly context: ServerContext
}

async function callTool(
  served: McpServed,
  {tools}: McpCatalog,
  scope: Scope,
  {request: {params}, context}: ToolCall,
): Promise<CallToolResult> {
  const tool = tools.get(params.name)
  if (!tool) {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no tool "${shortened(params.name)}"`)
  }
  scope.note({tool: tool.name})
  try {
    return await resultOf(served, tool, scope, {params, context})
  } catch (error) {
    const fault = Fault.from(error)
    scope.note({toolError: fault.code})
    if (fault.code === 'INTERNAL' || fault.code === 'UNKNOWN') scope.log.error({err: fault}, `${tool.name} failed`)
    return {isError: true, content: [{type: 'text', text: JSON.stringify(failureJson(fault, 'aip'))}]}
  }
}

async function resultOf(
  served: McpServed,
  tool: ServedTool,
  scope: Scope,
  {params, context}: {readonly params: CallToolRequest['params']; readonly context: ServerContext},
): Promise<CallToolResult> {
  const {method, messages, wrapsInput} = tool
  const {arguments: given = {}} = params
  const bytes = messages.read(utf8.encode(JSON.stringify(wrapsInput ? (given.value ?? {}) : given)))
  const metadata = rpcMetadata(scope.headers, served.metadata)
  addRouting(metadata, served.routingOf(method)?.(bytes))
  const call = served.callOf(scope, method, {requests: () => [bytes], metadata})
  if (method.methodKind === 'unary') {
    const value = jsonOf(served, tool, await scope.track(onlyAnswer(call)))
    return resultWith(tool.wrapsOutput ? {value} : (value as Record<string, unknown>))
  }
  const answers = invoke(call)[Symbol.asyncIterator]() as AsyncIterator<Message>
  endWith(scope, answers)
  const found: JsonValue[] = []
  const progressToken = params._meta?.progressToken
  let size = 0
  for (let next = await answers.next(); !next.done; next = await answers.next()) {
    const value = jsonOf(served, tool, next.value)
    const message = JSON.stringify(value)
    size += message.length
    if (size > maxResult) {
      await answers.return?.()
      return resultWith({messages: found, truncated: true})
    }
    found.push(value)
    if (progressToken === undefined) continue
    await context.mcpReq.notify({
      method: 'notifications/progress',
      params: {progressToken, progress: found.length, message},
    })
  }
  return resultWith({messages: found})
}

function resultWith(value: Record<string, unknown>): CallToolResult {
  return {content: [{type: 'text', text: JSON.stringify(value)}], structuredContent: value}
}

/** @throws {Fault} 500 for a message without a JSON form */
function jsonOf({transcoder: {registry}}: McpServed, {method}: ServedTool, message: Message): JsonValue {
  try {
    return writtenJson(method.output, message, {registry})
  } catch (cause) {
    throw new Fault('INTERNAL', `Cannot write the answer of ${nameOf(method)} as JSON`, {cause})
  }
}

/** Reads a resource, as a GET of its path would. */
async function readResource(
  served: McpServed,
  catalog: McpCatalog,
  scope: Scope,
  uri: string,
): Promise<ReadResourceResult> {
  try {
    const match = catalog.resourceAt(uri)
    if (!match) throw new Fault('NOT_FOUND', `There is no resource "${shortened(uri)}"`)
    const headers = Object.fromEntries(Object.entries(scope.headers).filter(([name]) => !ofRequest.has(name)))
    const exchange = served.transcoder.exchange(match, {method: 'GET', headers, hasBody: false})!
    const {request, response, input, metadata} = exchange
    if (request.body !== 'none' || response.body !== 'whole') throw new Fault('UNIMPLEMENTED', 'It has no GET')
    const message = toBinary(input, request.message())
    const call = served.callOf(scope, match.binding.method, {requests: () => [message], metadata})
    const {contentType: mimeType, body} = response.encode(await scope.track(onlyAnswer(call)))
    if (typeof body === 'string') return {contents: [{uri, mimeType, text: body}]}
    return {contents: [{uri, mimeType, blob: Buffer.from(body).toString('base64')}]}
  } catch (error) {
    const fault = Fault.from(error)
    scope.note({resourceError: fault.code})
    const code = ofParams.has(fault.code) ? ProtocolErrorCode.InvalidParams : ProtocolErrorCode.InternalError
    throw new ProtocolError(code, fault.message, failureJson(fault, 'aip'))
  }
}

/** Codes that say that a URI names nothing that can be read. */
const ofParams: ReadonlySet<Code> = new Set<Code>(['NOT_FOUND', 'INVALID_ARGUMENT'])

/** Headers about the request of the protocol itself, which do not apply to the calls that it makes. */
const ofRequest: ReadonlySet<string> = new Set(['accept', 'content-type', 'if-match', 'if-none-match', 'last-event-id'])
