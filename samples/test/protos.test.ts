import {execFileSync} from 'node:child_process'
import {readdirSync} from 'node:fs'
import {join} from 'node:path'
import {Validator} from '@seriousme/openapi-schema-validator'
import test from 'ava'
import type {App} from '../../test/helpers/app.ts'
import {sampleRequests} from '../../test/transcoding/sample-request.ts'
import {startSamples} from './app.ts'

const root = join(import.meta.dirname, '../..')

let app: App
test.before(async () => {
  app = await startSamples('gateway')
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('the protos are as buf lint wants them', (t) => {
  const paths = readdirSync(join(root, 'samples/proto')).flatMap((name) => ['--path', `samples/proto/${name}`])
  t.notThrows(() => execFileSync('buf', ['lint', '.', '--config', 'samples/buf.yaml', ...paths], {cwd: root}))
})

test.serial(
  'their description is OpenAPI 3.1, and a request made from it for each operation gets no 4xx',
  async (t) => {
    const {json} = await app.ask(t, '/openapi.json')
    const {valid, errors} = await new Validator().validate(structuredClone(json))
    t.true(valid, JSON.stringify(errors))
    t.truthy(json.paths['/api/person/{name}/{age}/{body_name}'])
    const requests = sampleRequests(json, {values: {email: 'ann@example.com'}})
    t.true(requests.length >= json.tags.length)
    for (const {operationId, variant, method, path, headers, body} of requests) {
      if (operationId === 'Repo_CreateRepo') continue
      const answer = await app.ask(t, path, {method, headers, body: body as RequestInit['body']})
      t.true(
        answer.status < 400,
        `${operationId}, ${variant}: ${method} ${path} ${body}: ${answer.status} ${answer.text}`,
      )
    }
  },
)
