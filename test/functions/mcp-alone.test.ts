import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'
import {connectMcp} from './mcp-client.ts'

let app: App
test.before(async () => {
  app = await startApp({target: 'mcp', env: {CONSOLE: 'true'}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

for (const path of ['/', '/mcp']) {
  test.serial(`the function mcp serves its tools at ${path}`, async (t) => {
    await using client = await connectMcp(app.url(path))
    const {tools} = await client.listTools()
    t.true(tools.length > 0)
    const {structuredContent} = await client.callTool({name: 'PingService_Send', arguments: {message: 'hi'}})
    t.like(structuredContent, {pong: {message: 'hi'}})
  })
}

const json = {'content-type': 'application/json'}
for (const [line, init] of [
  ['GET /api/ping?message=hi', {}],
  ['GET /openapi.json', {}],
  ['GET /console', {}],
  ['GET /console/schema.json', {}],
  ['POST /ping.PingService/Send', {body: '{}', headers: {...json, 'connect-protocol-version': '1'}}],
  ['POST /ping.PingService/Send', {body: '\0\0\0\0\0', headers: {'content-type': 'application/grpc-web+proto'}}],
] as [string, RequestInit][]) {
  test.serial(`it serves nothing else: ${line} of ${JSON.stringify(init.headers)}`, async (t) => {
    const [method = '', path = ''] = line.split(' ')
    const calls = app.backend.log.length
    t.is((await app.ask(t, path, {method, ...init})).status, 404)
    t.is(app.backend.log.length, calls)
  })
}

test.serial('a browser gets no page at its root', async (t) => {
  const {status, headers} = await app.ask(t, '/', {headers: {accept: 'text/html'}})
  t.is(status, 405)
  t.false(headers.get('content-type')?.startsWith('text/html'))
})
