import {once} from 'node:events'
import {Agent, type IncomingMessage, request} from 'node:http'
import type {JsonValue} from '@bufbuild/protobuf'
import {status} from '@grpc/grpc-js'
import test from 'ava'
import fc from 'fast-check'
import type {CallContext} from '../../local/grpc/implement.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import {streamTypes} from '../../src/transcoding/media.ts'
import {anyText} from '../helpers/text.ts'
import {encode} from '../transcoding/encoder.ts'
import {successOf, textOf} from './gateway-formats.ts'
import {shots, statusOf} from './gateway-fuzz.ts'
import {isQueryable, messageOf, valuesFor} from './gateway-messages.ts'
import {type Any, everyJson, type Served, silence, startServed} from './gateway-services.ts'
import {randomRules} from './gateway-templates.ts'

const rules = randomRules(80)
const agent = new Agent({keepAlive: true})
let app: Served
test.before(async () => {
  app = await startServed({protos: {'random.proto': rules.proto}, echoes: ['random.Random']})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => {
  agent.destroy()
  return app.close()
})

async function post(path: string, body: string | undefined): Promise<{status: number | undefined; text: string}> {
  const sent = request(app.url(''), {agent, method: 'POST', path, headers: {'content-type': 'application/json'}})
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return {status: response.statusCode, text: Buffer.concat(await response.toArray()).toString()}
}

test.serial(
  'a request by an independent client is echoed as the same message, for random messages and templates',
  async (t) => {
    const {fields} = app.schema.registry.getMessage('every.Every')!
    const cases = fc.constantFrom(...rules.rules).chain(({rule, variables}) => {
      const bound = new Set(variables.map(({field}) => field.split('.')[0]))
      const free = fields.filter(({name, oneof}) => !oneof && !bound.has(name) && name !== rule.body)
      const body = fields.find(({name}) => name === rule.body)
      return fc
        .tuple(
          messageOf(rule.body === '*' ? free : free.filter(isQueryable), 2, 0),
          body ? valuesFor(body) : fc.constant(undefined),
          ...variables.map(({value}) => value),
        )
        .map(([message, sent, ...values]) => {
          if (sent !== undefined) message[rule.body] = sent as JsonValue
          for (const [index, {field}] of variables.entries()) {
            const [first = '', second] = field.split('.')
            message[first] = second ? {[second]: values[index] as JsonValue} : (values[index] as JsonValue)
          }
          return {rule, message}
        })
    })
    await fc.assert(
      fc.asyncProperty(cases, async ({rule, message}) => {
        const {path, query, body} = encode(rule, message)
        const {status, text} = await post(query ? `${path}?${query}` : path, body)
        t.is(status, 200, text)
        t.deepEqual(JSON.parse(text), everyJson(app.schema, message))
      }),
      {numRuns: 1500},
    )
  },
)

test.serial('random bytes in path, query, headers or body never give a 500, a hang or a second answer', async (t) => {
  using _ = app.streams.handle({
    async *down() {
      yield {name: 'a'}
      yield {name: 'b'}
    },
  })
  const statuses = new Map<number, number>()
  const volley = fc.array(shots, {minLength: 20, maxLength: 20, size: 'max'})
  await fc.assert(
    fc.asyncProperty(volley, async (all) => {
      for (const status of await Promise.all(all.map((shot) => statusOf(app.url(''), shot)))) {
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    }),
    // The error names the shot; shrinking it would not help.
    {numRuns: 150, endOnFailure: true, includeErrorInReport: true},
  )
  for (const status of [200, 400, 404, 405, 406, 415]) t.true(statuses.has(status), `${status} of ${[...statuses]}`)
})

const failures = ['none', 'of the service', 'no JSON', 'the deadline'] as const

test.serial(
  'a failed response is never read as a complete success by a strict reader, wherever it fails',
  async (t) => {
    const sent = fc.array(fc.record({name: anyText({maxLength: 30})}), {maxLength: 6})
    const cases = fc.record({
      type: fc.constantFrom(...streamTypes),
      sent,
      how: fc.constantFrom(...failures),
      at: fc.nat(),
    })
    let cut = 0
    await fc.assert(
      fc.asyncProperty(cases, async ({type, sent, how, at}) => {
        const before = how === 'none' ? sent : sent.slice(0, at % (sent.length + 1))
        using _ = app.streams.handle({
          async *down(_request: Any, context: CallContext) {
            yield* before
            if (how === 'no JSON') yield {time: {seconds: 10n ** 12n}}
            if (how === 'of the service') throw new StatusError(status.ABORTED, 'Late')
            if (how === 'the deadline') await silence(context)
          },
        })
        const response = await app.send('GET /down', {
          headers: {accept: type, ...(how === 'the deadline' && {'grpc-timeout': '40m'})},
        })
        if (how === 'none') {
          t.deepEqual(successOf(type, response), sent.map((message) => everyJson(app.schema, message)) as unknown[])
          return
        }
        t.is(successOf(type, response), undefined)
        t.is(textOf(type, response), undefined)
        if (response.status === 200) cut++
        else t.true(response.whole && response.status >= 400)
      }),
      {numRuns: 400},
    )
    t.true(cut > 0)
  },
)
