import {once} from 'node:events'
import type {AddressInfo} from 'node:net'
import {http} from '@google-cloud/functions-framework'
import {getTestServer} from '@google-cloud/functions-framework/testing'
import test from 'ava'
import {direct, expressOf} from '../../src/framework/direct.ts'
import {json} from '../../src/http/response/reply.ts'
import {type App, startApp} from '../helpers/app.ts'
import {startFixture} from './child.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.after.always(() => app.close())

test.serial('from the second request on, a server calls the function without Express', async (t) => {
  t.not(expressOf(app.server), undefined)
  t.is((await fetch(app.url('/health/live'))).status, 200)
  t.is(expressOf(app.server), undefined)
  t.is(app.server.listenerCount('request'), 1)
  t.is((await fetch(app.url('/health/live'))).status, 200)
})

for (const path of ['/', '/favicon.ico', '/robots.txt', '//x?a=b&c', '/a%2Fb?']) {
  test.serial(`the first request for ${path} and the second one reach the function alike`, async (t) => {
    const {url} = await app.serve(async (scope) => {
      const {method, path, rawQuery, contentType = null} = scope
      return json({method, path, rawQuery, contentType, body: String(await scope.bytes())})
    })
    const init = {method: 'POST', headers: {'content-type': 'application/json'}, body: '{"a": '}
    const [first, second] = [await fetch(url + path, init), await fetch(url + path, init)]
    t.is(first.status, 200)
    t.deepEqual(await second.json(), await first.json())
    t.deepEqual([...second.headers.keys()], [...first.headers.keys()])
  })
}

test.serial('with LOG_EXECUTION_ID the framework still labels what a function prints', async (t) => {
  await using child = await startFixture({LOG_EXECUTION_ID: 'true'})
  for (const id of ['first', 'second']) {
    await fetch(`${child.url}/prints`, {headers: {'function-execution-id': id}})
    const line = JSON.parse(await child.out.match(new RegExp(`"execution_id":"${id}"`)))
    t.is(line.message, 'printed\n')
  }
})

test.serial('a request that fails outside its function is answered with 500', async (t) => {
  const errors: unknown[] = []
  const name = 'fails-outside'
  http(
    name,
    direct(() => Promise.reject(new Error('not of a function')), {error: (fields: unknown) => errors.push(fields)}),
  )
  const server = getTestServer(name).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const count of [0, 1]) {
    t.is((await fetch(url)).status, 500)
    t.is(errors.length, count)
  }
  server.close()
})
