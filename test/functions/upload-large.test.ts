import {once} from 'node:events'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import test from 'ava'
import {startApp} from '../helpers/app.ts'

test('an object larger than int32 is refused before a byte of it is read or sent', async (t) => {
  const asked: string[] = []
  // Says that every object is just too large: a real one of 2 GiB would take longer than all the rest of the suite.
  const storage = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.end(JSON.stringify({generation: '1', size: String(2 ** 31), crc32c: 'AAAAAA=='}))
  }).listen(0, '127.0.0.1')
  await once(storage, 'listening')
  const url = `http://127.0.0.1:${(storage.address() as AddressInfo).port}`
  const app = await startApp({target: 'upload', env: {UPLOAD_BUCKETS: 'b', STORAGE_EMULATOR_HOST: url}})
  const body = JSON.stringify({bucket: 'b', object: 'o', context: {creatorId: 'me', name: 'x'}})
  const answer = await app.ask(t, '/', {method: 'POST', headers: {'content-type': 'application/json'}, body})
  t.is(answer.status, 400)
  t.is(answer.json.error.status, 'OUT_OF_RANGE')
  t.is(asked.length, 1)
  t.deepEqual(app.backend.log, [])
  await app.close()
  storage.close()
  storage.closeAllConnections()
})
