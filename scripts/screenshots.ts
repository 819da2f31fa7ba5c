/** `npm run screenshots`: makes the pictures of the page for docs/, from npm start with the samples. */
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import type {Page} from 'playwright-core'
import {startBrowser} from '../test/helpers/browser.ts'

const root = join(import.meta.dirname, '..')
const wide = {width: 1090, height: 680}
const phone = {width: 360, height: 740}

const server = spawn(process.execPath, [join(root, 'local/start.ts')], {
  cwd: root,
  env: {...process.env, PORT: '0'},
  stdio: ['pipe', 'pipe', 'inherit'],
})
const exited = once(server, 'exit')
try {
  await using browser = await startBrowser()
  const page = await browser.context.newPage()
  await takeAll(page, await ready())
} finally {
  server.kill('SIGTERM')
  await exited
}

async function ready(): Promise<string> {
  for await (const line of createInterface({input: server.stdout})) {
    const [, url] = /^ready (\S+)/.exec(line) ?? []
    if (url) {
      server.stdout.resume()
      return url
    }
  }
  throw new Error('npm start ended before it was ready')
}

async function takeAll(page: Page, url: string): Promise<void> {
  const open = async (place: string) => {
    await page.goto(`${url}/#${place}`)
    await page.getByRole('heading', {level: 1, name: place.split('/').at(-1)!}).waitFor()
  }
  const field = (name: string) => page.getByLabel(name, {exact: true})
  const press = (name: string) => page.getByRole('button', {name, exact: true}).click()
  const take = async (name: string) => {
    const {length} = await page.screenshot({path: join(root, `docs/page-${name}.png`)})
    console.log(`docs/page-${name}.png ${Math.round(length / 1000)} kB`)
  }
  await page.setViewportSize(wide)
  await page.emulateMedia({colorScheme: 'light'})

  await open('ping.PingService/Send')
  await field('message').fill('Is anybody there?')
  await press('Send')
  await page.getByText('Log (1 line)').waitFor()
  await take('light')

  await page.emulateMedia({colorScheme: 'dark'})
  await open('person.SearchService/Search')
  await field('Path').selectOption('POST /api/person')
  await field('name').first().fill('Ada')
  await field('age').fill('thirty-six')
  await field('Set body').check()
  await page.getByRole('group', {name: 'body', exact: true}).getByLabel('name', {exact: true}).fill('Lovelace')
  await press('Send')
  await page.getByText('400 Bad Request').waitFor()
  await take('dark')

  await page.setViewportSize(phone)
  await page.evaluate('scrollTo(0, 0)')
  await take('phone')

  await page.setViewportSize(wide)
  await page.emulateMedia({colorScheme: 'light'})
  await open('chat.ChatService/BidirectionalChat')
  const messages = page.getByRole('region', {name: 'Answer'}).getByRole('listitem')
  for (const [index, words] of ['Hello!', 'Are you still there?', 'Then good night.'].entries()) {
    await field('content').fill(words)
    await press('Send')
    await messages.nth(2 * index + 1).waitFor()
  }
  await take('stream')
  await press('Stop')

  await open('/upload')
  await field('creatorId').fill('me')
  await page.getByLabel('An object of Storage').check()
  await field('Object').fill('film.bin')
  await field('name').fill('film')
  await page.evaluate('scrollTo(0, 0)')
  await press('Upload')
  await page.getByText(/Backend has [1-9]/).waitFor()
  await take('upload')
}
