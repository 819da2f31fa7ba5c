import test from 'ava'
import {SilentServer} from '../clients/silent-server.ts'
import {type Child, startChild} from '../http/child.ts'

let server: SilentServer
let child: Child
test.before(async () => {
  server = await SilentServer.start()
  const env = {BACKEND_URL: `http://127.0.0.1:${server.port}`, BACKEND_CONNECT_TIMEOUT_SECONDS: '0.5'}
  child = await startChild('gateway', env)
})
test.after.always(async () => {
  await child[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

async function ask(id: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${child.url}/api/ping`, {headers: {...headers, 'x-request-id': id}})
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  return {status: response.status, headers: response.headers, json: (await response.json()) as any}
}

test.serial('a caller with a shorter deadline gets 504, and the log says that there was no connection', async (t) => {
  t.is((await ask('connect-2', {'x-server-timeout': '0.1'})).status, 504)
  const line = /Still not connected to .*"requestId":"connect-2"|"requestId":"connect-2".*Still not connected to /i
  t.like(JSON.parse(await child.out.match(line)), {requestId: 'connect-2'})
})

test.serial('a backend that cannot be connected to is 503 at the connect deadline, which the log names', async (t) => {
  const {status, headers, json} = await ask('connect-1')
  t.is(status, 503)
  t.is(headers.get('retry-after'), '1')
  t.like(json.error, {
    status: 'UNAVAILABLE',
    message: 'The backend of ping.PingService.Send cannot be reached: no connection within 0.5 s',
  })
  t.is(json.error.details[0].reason, 'BACKEND_CONNECT_TIMEOUT')
  const {severity, message} = JSON.parse(await child.out.match(/"requestId":"connect-1"/))
  t.is(severity, 'ERROR')
  t.true(message.includes(`no connection to http://127.0.0.1:${server.port} within the connect deadline of 0.5 s`))
})

test.serial('while the backend is known to be unreachable, calls fail at once', async (t) => {
  const accepted = server.accepted
  await Promise.all(Array.from({length: 20}, (_, call) => ask(`down-${call}`).then(({status}) => t.is(status, 503))))
  t.true(server.accepted <= accepted + 1)
})
