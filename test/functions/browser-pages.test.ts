import {once} from 'node:events'
import {createServer, type Server} from 'node:http'
import type {AddressInfo} from 'node:net'
import ava from 'ava'
import type {Page} from 'playwright-core'
import {type App, startApp} from '../helpers/app.ts'
import {type Browser, hasBrowser, startBrowser} from '../helpers/browser.ts'

// What pages of other sites can do with the functions, in a real Chromium.
const test = hasBrowser ? ava.serial : ava.serial.skip

let app: App
let browser: Browser
let site: Server

ava.before(async () => {
  if (!hasBrowser) return
  app = await startApp({env: {CORS_ORIGINS: 'http://friend.localhost:*'}})
  await app.storage.put('samples', 'hello.txt', 'hello')
  browser = await startBrowser()
  site = createServer((_, response) => response.writeHead(200, {'content-type': 'text/html'}).end('<p>a page</p>'))
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
})
ava.afterEach.always(async (t) => {
  if (hasBrowser) await app.quiet(t)
})
ava.after.always(async () => {
  await browser?.[Symbol.asyncDispose]()
  site?.close().closeAllConnections()
  await app?.close()
})

/** A page on this host, which is another site than that of the functions. */
async function pageOf(host: string): Promise<Page> {
  const page = await browser.context.newPage()
  await page.goto(`http://${host}:${(site.address() as AddressInfo).port}/`)
  return page
}

const job = JSON.stringify({bucket: 'samples', object: 'hello.txt', context: {creatorId: 'me', name: 'hello'}})

/** POSTs as a page can. `type` decides whether the browser sends a preflight. Undefined if the page may not read the answer. */
async function post(page: Page, path: string, type: string, body: string, mode: 'cors' | 'no-cors' = 'cors') {
  return await page.evaluate(
    async ({url, type, body, mode}) => {
      const headers = {'content-type': type}
      const response = await fetch(url, {method: 'POST', headers, body, mode}).catch(() => undefined)
      return response && {status: response.status, text: await response.text(), type: response.type}
    },
    {url: app.url(path), type, body, mode},
  )
}

test('a page of an allowed origin uploads, pings and asks for health, and reads the answers', async (t) => {
  const page = await pageOf('friend.localhost')
  const uploaded = await post(page, '/upload', 'application/json', job)
  t.is(uploaded?.status, 200)
  t.is(JSON.parse(uploaded!.text).size, 5)
  t.is((await post(page, '/upload?creatorId=me&name=x', 'text/plain', 'hello'))?.status, 200)
  t.is((await post(page, '/ping', 'application/json', '{"message": "hi"}'))?.status, 200)
  t.is((await post(page, '/ping', 'text/plain', '{'))?.status, 400)
  t.is(await page.evaluate(async (url) => (await fetch(url)).status, app.url('/health')), 200)
  await page.close()
})

test('requests that a foreign page sends without a preflight reach no backend', async (t) => {
  const page = await pageOf('evil.localhost')
  const calls = app.backend.log.length
  const statuses: number[] = []
  page.on('response', (response) => statuses.push(response.status()))
  t.is(await post(page, '/ping', 'application/json', '{}'), undefined)
  t.is(await post(page, '/ping', 'text/plain', '{}'), undefined)
  await post(page, '/ping', 'text/plain', '{}', 'no-cors')
  await post(page, '/upload', 'text/plain', job, 'no-cors')
  await page.evaluate(`navigator.sendBeacon('${app.url('/ping')}', '{}')`)
  const form = `<form method="post" action="${app.url('/ping')}" enctype="text/plain">
    <input name='{"message": "' value='"}'>
  </form>`
  await page.setContent(form)
  const shown = page.waitForNavigation()
  await page.evaluate('document.forms[0].submit()')
  const answer = await shown
  t.is(answer?.status(), 403)
  t.is((await answer!.json()).error.details[0].reason, 'CROSS_SITE_REQUEST')
  t.is(app.backend.log.length, calls)
  t.true(statuses.filter((status) => status === 403).length >= 3)
  await page.close()
})

test("a page of the functions' own origin may send anything", async (t) => {
  const page = await browser.context.newPage()
  await page.goto(app.url('/health'))
  t.is((await post(page, '/ping', 'text/plain', '{"message": "hi"}'))?.status, 200)
  await page.close()
})
