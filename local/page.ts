import {subscribe} from 'node:diagnostics_channel'
import type {IncomingMessage, Server, ServerResponse} from 'node:http'

/** Prefix of the page's requests to the local stack. Deployed functions do not answer them. */
const prefix = '/console/local'
const isOurs = /^\/console\/local(?:[/?]|$)/

/** How many requests' log lines are kept, and how many lines of each. */
const mostRequests = 200
const mostLines = 200

/** How long an answer waits for the record of its request, in ms: it is written just after the last byte. */
const patience = 1000

/** How many objects of Storage the page offers. */
const mostObjects = 100

type Env = Readonly<Record<string, string | undefined>>

/**
 * Answers the requests of CONSOLE's page to the local stack: log lines of a request, a token that the functions accept, and the objects
 * in Storage. It runs in the process of the functions, in front of them, so that the page reaches it at its own origin. Call it before
 * the functions are loaded, because they change the path of each request.
 * @returns a function that adds these answers to a server
 */
export function pageAnswers(env: Env = process.env): (server: Server) => void {
  if (env.CONSOLE !== 'true') return () => {}
  const log = keepLogLines()
  const asked = new WeakMap<IncomingMessage, string>()
  subscribe('http.server.request.start', (message) => {
    const {request} = message as {request: IncomingMessage}
    if (request.url && isOurs.test(request.url)) asked.set(request, request.url)
  })
  return (server) => {
    const emit = server.emit.bind(server)
    server.emit = (event: string, ...args: unknown[]) => {
      const [request, response] = args as [IncomingMessage, ServerResponse]
      const url = event === 'request' ? asked.get(request) : undefined
      if (url === undefined) return emit(event, ...args)
      void answer(request, url, response, {env, log})
      return true
    }
  }
}

interface Around {
  readonly env: Env
  readonly log: LogLines
}

async function answer(request: IncomingMessage, url: string, response: ServerResponse, around: Around): Promise<void> {
  const {pathname, searchParams} = new URL(url, 'http://localhost')
  // A page of another site may read nothing of it anyway: no header lets it.
  const isForeign = !['same-origin', 'none', undefined].includes(
    request.headers['sec-fetch-site'] as string | undefined,
  )
  const value = isForeign
    ? undefined
    : await valueAt(pathname.slice(prefix.length), searchParams, around).catch(() => undefined)
  response.writeHead(value === undefined ? 404 : 200, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    'cross-origin-resource-policy': 'same-origin',
    'x-content-type-options': 'nosniff',
  })
  response.end(JSON.stringify(value ?? {error: {code: 404, message: 'Nothing here', status: 'NOT_FOUND'}}))
}

async function valueAt(path: string, parameters: URLSearchParams, {env, log}: Around): Promise<object | undefined> {
  if (path === '') return {tokens: audienceOf(env) !== undefined, objects: await objectsOf(env)}
  if (path === '/logs') return {lines: await log.of(parameters.get('id') ?? '')}
  return path === '/token' ? await tokenOf(env) : undefined
}

/** The audience of tokens that the functions take of the local metadata server. */
function audienceOf({AUTH, AUTH_ISSUERS = '', GCE_METADATA_HOST}: Env): string | undefined {
  if (AUTH !== 'jwt' || !GCE_METADATA_HOST || !AUTH_ISSUERS.includes(`jwks=http://${GCE_METADATA_HOST}/`))
    return undefined
  return /\baudience=([^\s|;]+)/.exec(AUTH_ISSUERS)?.[1]
}

async function tokenOf(env: Env): Promise<object | undefined> {
  const audience = audienceOf(env)
  if (audience === undefined) return undefined
  const path = `/computeMetadata/v1/instance/service-accounts/default/identity?audience=${encodeURIComponent(audience)}`
  const response = await fetch(`http://${env.GCE_METADATA_HOST}${path}`, {headers: {'metadata-flavor': 'Google'}})
  return response.ok ? {token: await response.text(), audience} : undefined
}

interface Listed {
  readonly items?: readonly {readonly name: string; readonly size: string}[]
}

async function objectsOf({STORAGE_EMULATOR_HOST: host, UPLOAD_BUCKETS = ''}: Env): Promise<object[]> {
  const [bucket = ''] = UPLOAD_BUCKETS.split(/[\s,;|/]/)
  if (!host || !bucket) return []
  const response = await fetch(`${host}/storage/v1/b/${encodeURIComponent(bucket)}/o?maxResults=${mostObjects}`)
  const {items = []} = (await response.json()) as Listed
  return items.map(({name, size}) => ({bucket, object: name, size: Number(size)}))
}

interface LogLines {
  /** The lines of the request with this id, as soon as its record is among them. */
  of(requestId: string): Promise<readonly string[]>
}

/** Keeps the last lines of every pino logger of this process, by request. */
function keepLogLines(): LogLines {
  const requests = new Map<string, string[]>()
  const waiting = new Map<string, () => void>()
  subscribe('tracing:pino_asJson:end', (message) => {
    const {result: line = ''} = message as {result?: string}
    const [, id] = /"requestId":"([^"\\]+)"/.exec(line) ?? []
    if (!id) return
    const lines = requests.get(id) ?? []
    requests.delete(id)
    requests.set(id, [...lines, line].slice(-mostLines))
    if (requests.size > mostRequests) requests.delete(requests.keys().next().value!)
    if (isRecord(line)) waiting.get(id)?.()
  })
  return {
    async of(id) {
      const isThere = () => (requests.get(id) ?? []).some(isRecord)
      if (!isThere()) {
        const {promise, resolve} = Promise.withResolvers<void>()
        waiting.set(id, resolve)
        const timer = setTimeout(resolve, patience)
        await promise
        clearTimeout(timer)
        waiting.delete(id)
      }
      return requests.get(id) ?? []
    },
  }
}

/** Whether a line is the one record of a request. */
function isRecord(line: string): boolean {
  return line.includes('"httpRequest":{')
}
