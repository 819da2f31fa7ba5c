import {once} from 'node:events'
import {type IncomingMessage, request} from 'node:http'
import {createInterface} from 'node:readline'
import test from 'ava'
import {parse} from 'shell-quote'
import type {App} from '../../test/helpers/app.ts'
import {requestsIn, succeeds} from '../../test/helpers/commands.ts'
import {startSamples} from './app.ts'

const requests = requestsIn('samples/README.md')

let app: App
test.before(async () => {
  app = await startSamples()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

// The command that reads lines from a terminal has its own test below.
for (const command of requests.filter((command) => !command.includes('-T .'))) {
  test.serial(command, (t) => succeeds(t, app, command))
}

test.serial('the chat answers each line before the next one is typed', async (t) => {
  const command = requests.find((text) => text.includes('-T .')) ?? ''
  const words = parse(command) as string[]
  const header = words[words.indexOf('-H') + 1]?.split(': ') ?? []
  const path = words.at(-1)?.replace('http://localhost:8080', '') ?? ''
  const method = words[words.indexOf('-X') + 1] ?? ''
  const sent = request(app.url(path), {method, headers: {[header[0] ?? '']: header[1] ?? ''}})
  const response = once(sent, 'response')
  const said = ['hi', 'how are you?', 'bye']
  let answers: AsyncIterator<string> | undefined
  for (const content of said) {
    sent.write(`${JSON.stringify({content})}\n`)
    answers ??= createInterface({input: ((await response) as [IncomingMessage])[0]})[Symbol.asyncIterator]()
    const {value} = await answers.next()
    t.deepEqual(JSON.parse(value), {reply: `You said: ${content}`})
  }
  sent.end()
  t.true((await answers?.next())?.done)
})
