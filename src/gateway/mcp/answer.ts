import {createMcpHandler, type McpHttpHandler} from '@modelcontextprotocol/server'
import {Fault} from '../../core/fault.ts'
import type {Reply} from '../../http/response/reply.ts'
import type {Scope} from '../../http/scope.ts'
import {jsonValue} from '../../transcoding/json/message.ts'
import {decodeUtf8} from '../../transcoding/json/text.ts'
import {ValueCount} from '../../transcoding/value-count.ts'
import {McpCatalog} from './catalog.ts'
import {markUnread} from './failure.ts'
import type {McpServed} from './served.ts'
import {serverOf} from './server.ts'

/** What is made of one gateway's methods, on first use. */
interface Made {
  readonly catalog: McpCatalog
  readonly handler: McpHttpHandler
}

const made = new WeakMap<McpServed, Made>()
/** The scopes of the requests that the SDK is handling. */
const scopes = new WeakMap<Request, Scope>()

/**
 * Handles one request of the Model Context Protocol, without a session, in any version that the SDK supports.
 * @throws {Fault} 400, 401, 403, 413, 429
 */
export async function answerMcp(served: McpServed, scope: Scope): Promise<Reply> {
  const {catalog, handler} = madeOf(served)
  const bytes = await scope.bytes(served.settings.maxBodyBytes)
  const body = read(bytes, served.settings.maxBodyValues)
  // Each message of a batch would be a call that no request limit counts. The protocol has no batches since 2025-06-18.
  if (Array.isArray(body)) throw Fault.invalid('body', 'Cannot read a batch: expected one message in each request')
  await scope.admit(catalog.accessFor(body))
  scope.hold(0)
  const request = new Request('http://localhost/mcp', {method: 'POST', headers: headersOf(scope)})
  scopes.set(request, scope)
  return replyOf(await handler.fetch(request, {parsedBody: body}))
}

/** @throws {Fault} 400 */
function read(bytes: Uint8Array, maxValues: number): unknown {
  try {
    return jsonValue(decodeUtf8(bytes), new ValueCount(maxValues))
  } catch (error) {
    if (error instanceof Fault) markUnread(error)
    throw error
  }
}

function madeOf(served: McpServed): Made {
  let one = made.get(served)
  if (!one) {
    const catalog = new McpCatalog(served)
    const handler = createMcpHandler(({requestInfo}) => serverOf(served, catalog, scopes.get(requestInfo!)!), {
      // The lists of tools and resources never change.
      maxSubscriptions: 0,
      keepAliveMs: served.settings.eventStreamPing,
    })
    one = {catalog, handler}
    made.set(served, one)
  }
  return one
}

/** The headers that the protocol needs, so that no credentials get into the SDK. */
function headersOf({headers, contentType}: Scope): Record<string, string> {
  const taken = Object.entries(headers).filter(([name]) => name === 'accept' || name.startsWith('mcp-'))
  return {...Object.fromEntries(taken.map(([name, value]) => [name, String(value)])), 'content-type': contentType ?? ''}
}

async function replyOf(response: Response): Promise<Reply> {
  const {status, body} = response
  const headers = Object.fromEntries(response.headers)
  if (!body) return {status, headers}
  if (headers['content-type'] !== 'text/event-stream') return {status, headers, body: await response.text()}
  return {
    status,
    headers: {...headers, 'cache-control': 'no-store'},
    body: body as unknown as AsyncIterable<Uint8Array>,
    failureChunk: () => '',
  }
}
