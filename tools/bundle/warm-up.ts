import {once} from 'node:events'
import {writeFileSync} from 'node:fs'
import {type IncomingMessage, type RequestOptions, request} from 'node:http'
import {createRequire} from 'node:module'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import type {Script} from 'node:vm'

// `node warm-up.ts PROJECT FUNCTION`, in front of peers.ts: starts the built function in this process, sends it a few
// requests, and keeps what V8 has compiled by then for those that start it later.

const [, , root = '', name = ''] = process.argv
const upload = JSON.stringify({bucket: 'bucket', object: 'object', context: {creatorId: 'me', name: 'object'}})

/** Requests of a first minute. A path that a function does not have is answered with 404, which costs nothing. */
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
]

const require = createRequire(join(root, 'dist/deployed.js'))
const {scripts} = require('./deployed.js') as {scripts: ReadonlyMap<string, Script>}
const {getTestServer} = require('@google-cloud/functions-framework/testing')
const server = getTestServer(name).listen(0, '127.0.0.1')
await once(server, 'listening')
const {port} = server.address() as AddressInfo
for (const {body, ...options} of requests) {
  const sent = request({...options, host: '127.0.0.1', port, agent: false}).end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  await once(response.resume(), 'end')
}
for (const [cache, script] of scripts) {
  writeFileSync(join(root, 'dist/functions', `${cache}.cache`), script.createCachedData())
}
process.exit()
