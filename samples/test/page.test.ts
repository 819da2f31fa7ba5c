import ava from 'ava'
import type {App} from '../../test/helpers/app.ts'
import {type Browser, hasBrowser, startBrowser} from '../../test/helpers/browser.ts'
import {textOf} from '../../test/helpers/commands.ts'
import {startSamples} from './app.ts'

const test = hasBrowser ? ava.serial : ava.serial.skip

let app: App
let browser: Browser
ava.before(async () => {
  if (!hasBrowser) return
  app = await startSamples()
  browser = await startBrowser()
})
ava.after.always(async () => {
  await browser?.[Symbol.asyncDispose]()
  await app?.close()
})

test('a page as README has it reads a stream once, to its end', async (t) => {
  const [, script = ''] = /```js\n(const events = new EventSource[^`]*)```/.exec(textOf('samples/README.md')) ?? []
  t.is(script.trim().split('\n').length, 3)
  const page = await browser.context.newPage()
  await page.goto(app.url('/openapi.json'))
  const said: Promise<unknown>[] = []
  page.on('console', (message) => said.push(message.args()[0]!.jsonValue()))
  await page.evaluate(
    `new Promise((resolve) => {
      ${script}
      events.addEventListener('end', () => resolve(events.readyState))
    })`,
  )
  t.deepEqual(
    await Promise.all(said),
    Array.from({length: 11}, () => ({name: 'I got itAda'})),
  )
  await page.close()
  await app.backend.idle()
  t.is(app.backend.log.filter(({method}) => method === '/person.SearchService/SearchOut').length, 1)
})
