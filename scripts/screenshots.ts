/** `npm run screenshots`: the pictures of the page in docs/, of npm start with its samples. */
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import {crc32, deflateSync, inflateSync} from 'node:zlib'
import type {Page} from 'playwright-core'
import {startBrowser} from '../test/helpers/browser.ts'

const root = join(import.meta.dirname, '..')
const wide = {width: 1100, height: 700}
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
    const picture = smaller(await page.screenshot())
    writeFileSync(join(root, `docs/page-${name}.png`), picture)
    console.log(`docs/page-${name}.png ${Math.round(picture.length / 1000)} kB`)
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
  await open('person.SearchService/SearchOut')
  await field('name').first().fill('Ada')
  await press('Send')
  await page.getByText('complete: 11 messages').waitFor()
  await take('stream')

  await open('/upload')
  await field('creatorId').fill('me')
  await page.getByLabel('An object of Storage').check()
  await field('Object').fill('film.bin')
  await field('name').fill('film')
  await press('Upload')
  await page.getByText(/Backend has [1-9]/).waitFor()
  await take('upload')
}

/** The same PNG, compressed as well as can be: a browser is in a hurry. */
function smaller(png: Buffer): Buffer {
  const chunks: {type: string; data: Buffer}[] = []
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at)
    chunks.push({type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length)})
    at += 12 + length
  }
  const pixels = chunks.filter(({type}) => type === 'IDAT').map(({data}) => data)
  const packed = {type: 'IDAT', data: deflateSync(inflateSync(Buffer.concat(pixels)), {level: 9, memLevel: 9})}
  const others = chunks.filter(({type}) => type !== 'IDAT')
  return Buffer.concat([png.subarray(0, 8), ...[...others.slice(0, -1), packed, ...others.slice(-1)].map(chunkOf)])
}

function chunkOf({type, data}: {type: string; data: Buffer}): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const frame = Buffer.alloc(8)
  frame.writeUInt32BE(data.length, 0)
  frame.writeUInt32BE(crc32(named), 4)
  return Buffer.concat([frame.subarray(0, 4), named, frame.subarray(4)])
}
