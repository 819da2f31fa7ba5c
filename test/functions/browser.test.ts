import {status} from '@grpc/grpc-js'
import ava from 'ava'
import type {Page} from 'playwright-core'
import {StatusError} from '../../local/grpc/status-error.ts'
import {type Browser, hasBrowser, startBrowser} from '../helpers/browser.ts'
import {type Served, startServed} from './gateway-services.ts'

// How a real Chromium handles event streams.
const test = hasBrowser ? ava.serial : ava.serial.skip

let app: Served
let browser: Browser
let page: Page

ava.before(async () => {
  if (!hasBrowser) return
  app = await startServed()
  browser = await startBrowser()
})
ava.beforeEach(async () => {
  if (!hasBrowser) return
  page = await browser.context.newPage()
  // Any page of the same origin will do.
  await page.goto(app.url('/openapi.json'))
})
ava.afterEach.always(async (t) => {
  if (!hasBrowser) return
  await page.close()
  await app.quiet(t)
})
ava.after.always(async () => {
  await browser?.[Symbol.asyncDispose]()
  await app?.close()
})

/** The number of calls of `method` that the backend has had. */
async function callsOf(method: string): Promise<number> {
  await app.backend.idle()
  return app.backend.log.filter((call) => call.method === method).length
}

interface Seen {
  readonly messages: {readonly type: string; readonly data: unknown; readonly id: string}[]
  /** The status of each connection that the browser made, in order. */
  readonly statuses: number[]
}

/** What an EventSource for `path` gets, on a page that does not close it, until the browser gives up. */
async function watch(path: string): Promise<Seen> {
  const statuses: number[] = []
  page.on('response', (response) => {
    if (new URL(response.url()).pathname === path.split('?')[0]) statuses.push(response.status())
  })
  const messages = await page.evaluate(
    (url) =>
      new Promise<Seen['messages']>((resolve) => {
        const seen: Seen['messages'] = []
        const source = new EventSource(url)
        const note = (event: Event) => {
          const {type, data, lastEventId} = event as MessageEvent
          seen.push({type, data: JSON.parse(data), id: lastEventId})
        }
        source.onmessage = note
        source.addEventListener('end', note)
        source.addEventListener('error', (event) => {
          if ('data' in event) note(event)
          else if (source.readyState === EventSource.CLOSED) resolve(seen)
        })
      }),
    app.url(path),
  )
  return {messages, statuses}
}

test('a browser that reads a finite stream reconnects once, gets 204, and the backend is called once', async (t) => {
  const before = await callsOf('/served.Streams/Down')
  const {messages, statuses} = await watch('/down?int32_value=3')
  t.deepEqual(messages, [
    {type: 'message', data: {int32Value: 1}, id: '1'},
    {type: 'message', data: {int32Value: 2}, id: '2'},
    {type: 'message', data: {int32Value: 3}, id: '3'},
    {type: 'end', data: {}, id: '3;end'},
  ])
  t.deepEqual(statuses, [200, 204])
  t.is((await callsOf('/served.Streams/Down')) - before, 1)
})

test("a browser's connection is open before the service has sent anything", async (t) => {
  const gate = Promise.withResolvers<void>()
  using _ = app.streams.handle({
    async *down() {
      await gate.promise
      yield* []
    },
  })
  const state = await page.evaluate(
    (url) =>
      new Promise<number>((resolve) => {
        const source = new EventSource(url)
        source.onopen = () => {
          resolve(source.readyState)
          source.close()
        }
      }),
    app.url('/down'),
  )
  gate.resolve()
  t.is(state, 1)
})

test('a browser reads why a stream failed before its first message, and does not reconnect', async (t) => {
  using _ = app.streams.handle({
    // biome-ignore lint/correctness/useYield: it fails first
    async *down() {
      throw new StatusError(status.NOT_FOUND, 'None')
    },
  })
  const {messages, statuses} = await watch('/down')
  t.deepEqual(
    messages.map(({type, id}) => [type, id]),
    [['error', '0;end']],
  )
  t.deepEqual(statuses, [200, 204])
})

test('a browser repeats a call after a transient error, and not after a permanent one', async (t) => {
  const ends = [status.UNAVAILABLE, status.NOT_FOUND]
  using _ = app.streams.handle({
    async *down() {
      yield {name: 'a'}
      throw new StatusError(ends.shift()!, 'Late')
    },
  })
  const before = await callsOf('/served.Streams/Down')
  const {messages, statuses} = await watch('/down')
  // A busy browser may have dropped the last messages before the connection was cut.
  t.deepEqual(
    messages.slice(-2).map(({type, id, data}) => [type, id, (data as {error?: {status: string}}).error?.status]),
    [
      ['message', '1', undefined],
      ['error', '1;end', 'NOT_FOUND'],
    ],
  )
  t.deepEqual(statuses, [200, 200, 204])
  t.is((await callsOf('/served.Streams/Down')) - before, 2)
})
