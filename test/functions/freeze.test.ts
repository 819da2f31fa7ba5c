import {setTimeout as pause} from 'node:timers/promises'
import test from 'ava'
import {freeze, thaw} from '../../local/faults/freeze.ts'
import {type FaultProxy, startProxy} from '../../local/faults/proxy.ts'
import {type FaultServer, startFaultServer} from '../../local/faults/server.ts'
import {type Child, startChild} from '../http/child.ts'

// The functions on the real framework, frozen as Cloud Run freezes an instance between two requests.

let server: FaultServer
let proxy: FaultProxy
let child: Child
test.before(async () => {
  server = await startFaultServer()
  proxy = await startProxy({target: () => server.port})
  child = await startChild('gateway', {BACKEND_URL: proxy.url, BACKEND_AUDIENCE: 'none'})
})
test.after.always(async () => {
  await child[Symbol.asyncDispose]()
  await proxy.close()
  await server.close()
})

async function ask(message: string): Promise<{status: number; text: string}> {
  const response = await fetch(`${child.url}/api/ping`, {
    method: 'POST',
    headers: {'content-type': 'application/json', 'x-request-id': message},
    body: JSON.stringify({message}),
  })
  return {status: response.status, text: await response.text()}
}

for (const [title, silence, breakOff] of [
  ['dropped silently', 700, () => proxy.drop()],
  ['dropped shortly', 150, () => proxy.drop()],
  ['reset', 300, () => proxy.reset()],
  ['closed', 300, () => proxy.fin()],
] as const) {
  test.serial(`after a freeze in which the connection was ${title} each call is executed once`, async (t) => {
    for (let round = 0; round < 3; round++) {
      const id = `${title.replace(' ', '-')}-${round}`
      t.is((await ask(`${id}-before`)).status, 200)
      await freeze(child)
      breakOff()
      // Only the silence tells that a connection was dropped silently.
      await pause(silence)
      const answers = [0, 1, 2].map((call) => ask(`${id}-after-${call}`))
      await thaw(child)
      for (const {status, text} of await Promise.all(answers)) t.is(status, 200, text)
    }
    t.deepEqual(server.doubles, [])
    t.is(server.executions.filter(({requestId}) => requestId.startsWith(title.replace(' ', '-'))).length, 3 * 4)
  })
}

test.serial('freezes with a healthy connection cause no errors', async (t) => {
  const executions = server.executions.length
  for (let round = 0; round < 20; round++) {
    await freeze(child)
    await pause(Math.random() * 100)
    const answer = ask(`healthy-${round}`)
    await thaw(child)
    t.is((await answer).status, 200)
  }
  t.is(server.executions.length, executions + 20)
  t.deepEqual(server.doubles, [])
})
