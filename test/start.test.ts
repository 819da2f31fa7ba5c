import {once} from 'node:events'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import {connect} from 'node:net'
import test from 'ava'
import {startStack} from '../local/stack.ts'
import {anyLeft, interrupt, npmRun} from './helpers/start.ts'

const refused = async (url: string) => {
  const {hostname, port} = new URL(url)
  const socket = connect(Number(port), hostname)
  const [error] = await once(socket, 'error')
  return (error as NodeJS.ErrnoException).code ?? (error as AggregateError).errors?.[0]?.code
}

test('npm start brings all up, says what to try, and Ctrl-C leaves nothing behind', async (t) => {
  const started = npmRun('start', {PORT: '0'})
  const url = (await started.line(/^ready /)).slice('ready '.length)
  t.is(started.lines.filter((line) => line.trim().startsWith('curl ')).length, 3)
  const answer = await fetch(`${url}/ping?message=hi`)
  t.is(answer.status, 200)
  const storage = started.lines.find((line) => line.startsWith('storage'))?.split(/\s+/)[1] ?? ''
  const listing = (await (await fetch(`${storage}/storage/v1/b/samples/o`)).json()) as {items: {size: string}[]}
  t.true(new Set(listing.items.map(({size}) => size)).size >= 4, 'samples of different sizes')
  interrupt(started)
  await started.exited
  t.false(anyLeft(started))
  t.is(await refused(url), 'ECONNREFUSED')
  t.is(await refused(storage), 'ECONNREFUSED')
})

test("a developer's own credentials and proxy do not keep npm start from getting ready", async (t) => {
  const proxy = 'http://127.0.0.1:9'
  const started = npmRun('start', {PORT: '0', GOOGLE_APPLICATION_CREDENTIALS: '/nowhere/key.json', http_proxy: proxy})
  const url = (await started.line(/^ready /)).slice('ready '.length)
  t.is((await fetch(`${url}/ping?message=hi`)).status, 200)
  interrupt(started)
  await started.exited
})

test('two stacks never meet', async (t) => {
  const two = [npmRun('start', {PORT: '0'}), npmRun('start', {PORT: '0'})]
  const urls = await Promise.all(two.map((started) => started.line(/^ready /)))
  t.not(urls[0], urls[1])
  for (const started of two) interrupt(started)
  await Promise.all(two.map(({exited}) => exited))
})

test('what the environment names is not started', async (t) => {
  const stack = await startStack()
  const {BACKEND_URL, BACKEND_AUDIENCE, GCE_METADATA_HOST, STORAGE_EMULATOR_HOST} = stack.env
  const env = {BACKEND_URL, BACKEND_AUDIENCE, GCE_METADATA_HOST, STORAGE_EMULATOR_HOST} as Record<string, string>
  const started = npmRun('start', {PORT: '0', ...env})
  const url = (await started.line(/^ready /)).slice('ready '.length)
  const calls = stack.backend?.log.length ?? 0
  t.is((await fetch(`${url}/ping?message=hi`)).status, 200)
  t.is(stack.backend?.log.length, calls + 1)
  interrupt(started)
  await started.exited
  await stack.close()
})

test('a port that is in use is named', async (t) => {
  const taken = createServer().listen(0)
  await once(taken, 'listening')
  const port = String((taken.address() as AddressInfo).port)
  const started = npmRun('start', {PORT: port})
  t.not(await started.exited, 0)
  t.true(started.lines.some((line) => line.includes(`PORT="${port}" is in use`)))
  t.false(anyLeft(started))
  taken.close()
})

test('npm run backend serves the gRPC services alone, on PORT', async (t) => {
  const started = npmRun('backend', {PORT: '0'})
  const ready = await started.line(/ready/)
  t.regex(ready, /http:\/\/\S+:\d+/)
  interrupt(started)
  await started.exited
  t.false(anyLeft(started))
})
