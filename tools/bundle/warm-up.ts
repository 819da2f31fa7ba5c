import {once} from 'node:events'
import {writeFileSync} from 'node:fs'
import {type IncomingMessage, type RequestOptions, request} from 'node:http'
import {createRequire} from 'node:module'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {text} from 'node:stream/consumers'
import type {Script} from 'node:vm'

// `node warm-up.ts PROJECT FUNCTION all|reads`, with the servers of peers.ts as backends: starts the built function in this
// process, sends it a few requests, and writes what V8 has compiled by then to its compile cache. `reads`: only GET.

const [, , root = '', name = '', kind = 'all'] = process.argv
const upload = JSON.stringify({bucket: 'bucket', object: 'object', context: {creatorId: 'me', name: 'object'}})

const event = JSON.stringify({bucket: 'bucket', name: 'object'})
const eventHeaders = {
  ...{'ce-id': '1', 'ce-source': '/', 'ce-specversion': '1.0', 'content-type': 'application/json'},
  'ce-type': 'google.cloud.storage.object.v1.finalized',
}

/** Typical first requests. A path that a function does not have gets a cheap 404. */
const requests: readonly (RequestOptions & {readonly body?: string})[] = [
  {path: '/?message=hi'},
  {path: '/ping?message=hi'},
  {path: '/api/ping?message=hi'},
  ...['/', '/upload'].map((path) => ({
    path,
    method: 'POST',
    headers: {'content-type': 'application/json'},
    body: upload,
  })),
  ...['/', '/finalized'].map((path) => ({path, method: 'POST', headers: eventHeaders, body: event})),
]

const require = createRequire(join(root, 'dist/deployed.js'))
const {scripts} = require('./deployed.js') as {scripts: ReadonlyMap<string, Script>}
const {getTestServer} = require('@google-cloud/functions-framework/testing')
const server = getTestServer(name).listen(0, '127.0.0.1')
await once(server, 'listening')
const {port} = server.address() as AddressInfo
for (const request of requests) {
  if (kind === 'all' || (request.method ?? 'GET') === 'GET') await send(request)
}
for (const path of await describedReads()) await send({path})
for (const [cache, script] of scripts) {
  writeFileSync(join(root, 'dist/functions', `${cache}.cache`), script.createCachedData())
}
process.exit()

async function send({body, ...options}: RequestOptions & {readonly body?: string}): Promise<string> {
  const sent = request({...options, host: '127.0.0.1', port, agent: false}).end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return await text(response)
}

/** Paths of the first GET methods of the function's own OpenAPI document, with "x" for each variable; none without one. */
async function describedReads(): Promise<string[]> {
  try {
    const {paths} = JSON.parse(await send({path: '/openapi.json'})) as {paths: Record<string, object>}
    const reads = Object.keys(paths).filter((path) => 'get' in paths[path]!)
    return reads.slice(0, 3).map((path) => path.replace(/\{[^}]*\}/g, 'x'))
  } catch {
    return []
  }
}
