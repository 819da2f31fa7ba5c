import test from 'ava'
import {startStack} from '../../local/stack.ts'
import {startChild} from '../http/child.ts'
import {type Answer, exchange} from '../soak/exchange.ts'
import {Random} from '../soak/random.ts'

const json = {'content-type': 'application/json'}
const ndjson = {'content-type': 'application/x-ndjson'}
const job = JSON.stringify({bucket: 'samples', object: 'o', context: {creatorId: 'me', name: 'it'}})
const asks = [
  {method: 'GET', path: '/ping?message=hi'},
  {method: 'GET', path: '/health'},
  {method: 'POST', path: '/api/ping', headers: json, body: ['{"message":', '"hi"}'], pause: 5},
  {method: 'POST', path: '/upload', headers: json, body: [job]},
  {
    method: 'POST',
    path: '/api/repos',
    headers: ndjson,
    body: ['{"context": {"creatorId": "me", "name": "it"}}', '{"data": "aGk="}'],
    pause: 10,
  },
] as const

// The soak test does the same at the end of each phase, with all kinds of requests and faults.
for (const seed of [1, 2]) {
  test.serial(
    `SIGTERM under load: each request that was accepted is answered, and the exit code is 0 (${seed})`,
    async (t) => {
      const random = new Random(seed)
      await using stack = await startStack()
      await stack.storage!.put('samples', 'o', Buffer.alloc(500_000))
      await using child = await startChild('app', stack.env)
      const answers = new Map<string, Answer>()
      let [count, ended] = [0, false]
      const caller = async () => {
        while (!ended) {
          const id = `under-load-${++count}`
          const answer = await exchange(child.url, random.pick(asks), id, 60_000)
          answers.set(id, answer)
          ended ||= answer.status === 0
        }
      }
      const callers = Array.from({length: 20}, caller)
      const goal = random.int(30, 150)
      while (answers.size < goal) await new Promise(setImmediate)
      child.signal('SIGTERM')
      t.is(await child.exited, 0)
      await Promise.all(callers)
      const logged = new Map<string, number>()
      for (const line of child.out.all) {
        const {requestId, httpRequest} = JSON.parse(line)
        if (httpRequest) logged.set(requestId, httpRequest.status)
      }
      for (const [id, {status, whole}] of answers) {
        // A request that arrived too late was never accepted: it has neither an answer nor a log line.
        t.deepEqual([status, status === 0 || whole], [logged.get(id) ?? 0, true], id)
        t.true([0, 200, 503].includes(status), `${id}: ${status}`)
      }
      t.true([...answers.values()].filter(({status}) => status === 200).length >= goal)
    },
  )
}
