import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {createServer, type Server} from 'node:http'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {status} from '@grpc/grpc-js'
import ava from 'ava'
import {build} from 'esbuild'
import type {Page} from 'playwright-core'
import {StatusError} from '../../local/grpc/status-error.ts'
import {startApp} from '../helpers/app.ts'
import {type Browser, hasBrowser, startBrowser} from '../helpers/browser.ts'
import {stepsIn} from '../helpers/commands.ts'
import {type Served, silence, startServed} from './gateway-services.ts'
import type {PageAnswer, PageCall} from './rpc-page.ts'

// @connectrpc/connect-web and grpc-web in a real Chromium, on pages of other origins than the gateway's.
const test = hasBrowser ? ava.serial : ava.serial.skip

const pure = `syntax = "proto3";
package pure;
import "every/every.proto";
service Pure {
  rpc Get(every.Every) returns (every.Every) { option idempotency_level = NO_SIDE_EFFECTS; }
}`

const root = join(import.meta.dirname, '../..')

let app: Served
let browser: Browser
let site: Server
let page: Page

ava.before(async () => {
  if (!hasBrowser) return
  app = await startServed({
    protos: {'pure.proto': pure},
    echoes: ['pure.Pure'],
    env: {CORS_ORIGINS: 'http://friend.localhost:*'},
  })
  const html = `<script>const page = ${JSON.stringify({
    url: app.url(''),
    descriptors: readFileSync(app.schema.path, 'base64'),
  })}</script><script src="/page.js"></script>`
  const {outputFiles} = await build({
    entryPoints: [join(import.meta.dirname, 'rpc-page.ts')],
    bundle: true,
    write: false,
    format: 'iife',
    platform: 'browser',
  })
  site = createServer(({url}, response) => {
    if (url === '/page.js') response.writeHead(200, {'content-type': 'text/javascript'}).end(outputFiles[0]!.text)
    else response.writeHead(200, {'content-type': 'text/html; charset=utf-8'}).end(html)
  })
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  browser = await startBrowser()
  page = await pageOf('friend.localhost')
})
ava.afterEach.always(async (t) => {
  if (hasBrowser) await app.quiet(t)
})
ava.after.always(async () => {
  await browser?.[Symbol.asyncDispose]()
  site?.close().closeAllConnections()
  await app?.close()
})

async function pageOf(host: string): Promise<Page> {
  const opened = await browser.context.newPage()
  await opened.goto(`http://${host}:${(site.address() as AddressInfo).port}/`)
  return opened
}

async function call(given: PageCall, from = page): Promise<PageAnswer> {
  return (await from.evaluate(`call(${JSON.stringify(given)})`)) as PageAnswer
}

test('the gRPC-Web client of docs/clients.md shows what it was sent', async (t) => {
  const own = await startApp({env: {CORS_ORIGINS: 'http://friend.localhost:*'}})
  t.teardown(() => own.close())
  const file = stepsIn('docs/clients.md').find((step) => step.kind === 'file' && step.path === 'page.ts')
  const contents = (file as {text: string}).text.replace('http://localhost:8080', own.url(''))
  const {outputFiles} = await build({
    stdin: {contents, loader: 'ts', resolveDir: root},
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
  })
  const opened = await pageOf('friend.localhost')
  await opened.addScriptTag({content: outputFiles[0]!.text, type: 'module'})
  await opened.waitForFunction('document.title === "hi"')
  await opened.close()
  await own.quiet(t)
})

const clients = ['connect', 'connect-json', 'grpcweb', 'grpc-web', 'grpc-web-text']

for (const client of clients) {
  const isGoogles = client.startsWith('grpc-web')

  test(`${client}: a page of a configured origin makes unary calls, and reads streams`, async (t) => {
    const name = 'é€😀'.repeat(500)
    const unary = await call({client, method: 'served.Echo/Whole', request: {name}})
    t.deepEqual(unary.messages, [{name}])
    const stream = await call({client, method: 'served.Streams/Down', request: {int32Value: 3, name}})
    t.deepEqual(
      stream.messages,
      [1, 2, 3].map((int32Value) => ({int32Value, name})),
    )
    t.deepEqual((await call({client, method: 'served.Streams/Down', request: {}})).messages, [])
    t.deepEqual((await call({client, method: 'pure.Pure/Get', request: {name: 'a'}})).messages, [{name: 'a'}])
  })

  test(`${client}: headers of a page are metadata, and an error is read with its trailers`, async (t) => {
    let tenant: unknown
    using _ = app.echo.handle({
      whole(_request, {metadata, trailer}) {
        tenant = metadata.get('x-tenant')[0]
        trailer.set('x-tail', 'a')
        throw new StatusError(status.NOT_FOUND, 'Nö')
      },
    })
    const {error} = await call({client, method: 'served.Echo/Whole', request: {}, headers: {'x-tenant': 'mine'}})
    t.is(tenant, 'mine')
    t.is(error?.code, status.NOT_FOUND)
    t.is(error?.message, 'Nö')
    t.is(error?.metadata['x-tail'], 'a')
  })

  test(`${client}: a stream that fails reports it after its messages`, async (t) => {
    using _ = app.streams.handle({
      async *down() {
        yield {name: 'a'}
        yield {name: 'b'}
        throw new StatusError(status.ABORTED, 'Late')
      },
    })
    const {messages, error} = await call({client, method: 'served.Streams/Down', request: {}})
    t.deepEqual(messages, [{name: 'a'}, {name: 'b'}])
    t.is(error?.code, status.ABORTED)
  })

  test(`${client}: a page that leaves cancels the call, and gets an error for a cut stream`, async (t) => {
    // More than Chromium reads of a response that is no longer wanted: for a shorter one it waits 5 s before it hangs up.
    const name = 'a'.repeat(200_000)
    using _ = app.streams.handle({
      async *down(_request, context) {
        yield {name}
        yield await silence(context)
      },
    })
    const left = app.streams.next()
    // In binary, Google's client delivers no message before the end of the stream, so the page leaves without one.
    const hasMessages = client !== 'grpc-web'
    const leaving = call({client, method: 'served.Streams/Down', request: {}, ...(hasMessages && {leaveAfter: 1})})
    const {cancelled: gone} = await left
    if (!hasMessages) await page.evaluate('leave()')
    t.deepEqual((await leaving).messages, hasMessages ? [{name}] : [])
    await gone
    const cut = app.streams.next()
    const answer = call({client, method: 'served.Streams/Down', request: {}})
    const {cancelled} = await cut
    app.server.closeAllConnections()
    await cancelled
    t.truthy((await answer).error)
  })

  test(`${client}: the timeout of a page ends its call, before and after the first message`, async (t) => {
    using _ = app.echo.handle({whole: (_request, context) => silence(context)})
    using __ = app.streams.handle({
      async *down(_request, context) {
        yield {name: 'a'}
        yield await silence(context)
      },
    })
    for (const method of ['served.Echo/Whole', 'served.Streams/Down']) {
      const answer = await call({client, method, request: {}, timeoutMs: 300})
      // Google's client also hangs up itself at its deadline. If it does so first, it reports its own error.
      t.true(answer.error?.code === status.DEADLINE_EXCEEDED || (isGoogles && answer.error !== undefined))
      await app.backend.idle()
    }
  })

  test(`${client}: a page of another origin may not call`, async (t) => {
    const stranger = await pageOf('stranger.localhost')
    const calls = app.backend.log.length
    const {messages, error} = await call({client, method: 'served.Echo/Whole', request: {name: 'a'}}, stranger)
    t.deepEqual(messages, [])
    t.truthy(error)
    t.is(app.backend.log.length, calls)
    await stranger.close()
  })
}
