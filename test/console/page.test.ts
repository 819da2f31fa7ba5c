import {readFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import type {JsonValue} from '@bufbuild/protobuf'
import {status} from '@grpc/grpc-js'
import ava from 'ava'
import type {Locator, Page} from 'playwright-core'
import {StatusError} from '../../local/grpc/status-error.ts'
import {TestIssuer} from '../auth/issuer.ts'
import {everyJson, type Served, silence, startServed} from '../functions/gateway-services.ts'
import {startApp} from '../helpers/app.ts'
import {type Browser, hasBrowser, startBrowser} from '../helpers/browser.ts'

// The page of CONSOLE as people use it, in a real Chromium.
const test = hasBrowser ? ava.serial : ava.serial.skip

const MiB = 1024 * 1024
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Comments in protos can contain any text. */
const hostile = `syntax = "proto3";
package hostile;
import "google/api/annotations.proto";
// <img src=x onerror="document.title='hit'"> & <script>document.title='hit'</script>
service Comments {
  // <b id="hit">Says</b> \`code\` <a href="javascript:document.title='hit'">this</a>
  rpc Say(Said) returns (Said) { option (google.api.http) = {get: "/said"}; }
}
message Said {
  // <style>*{display:none}</style>
  string text = 1;
}`

let app: Served
let browser: Browser
let page: Page
/** Errors in the page, and violations of its content security policy. */
let wrong: string[]

ava.before(async () => {
  if (!hasBrowser) return
  app = await startServed({
    target: 'app',
    env: {CONSOLE: 'true', GATEWAY_WEBSOCKET: 'true', GATEWAY_DEFAULT_BINDINGS: 'false'},
    protos: {'hostile.proto': hostile},
    echoes: ['hostile.Comments'],
  })
  await app.storage.put('samples', 'notes.txt', 'Notes in Storage')
  browser = await startBrowser()
})
ava.beforeEach(async () => {
  if (!hasBrowser) return
  page = await browser.context.newPage()
  page.setDefaultTimeout(30_000)
  wrong = []
  page.on('pageerror', (error) => wrong.push(error.message))
  page.on('console', (message) => {
    if (/Content Security Policy|Trusted/i.test(message.text())) wrong.push(message.text())
  })
})
ava.afterEach.always(async (t) => {
  if (!hasBrowser) return
  t.deepEqual(wrong, [])
  await page.close()
  await app.quiet(t)
})
ava.after.always(async () => {
  await browser?.[Symbol.asyncDispose]()
  await app?.close()
})

/** Opens the page of a method or function. */
async function open(place: string): Promise<void> {
  await page.goto(app.url(`/#${place}`))
  await page.getByRole('heading', {level: 1, name: place.replace(/.*(?=\/)\/(?=\w+$)/, ''), exact: false}).waitFor()
}

const field = (name: string): Locator => page.getByLabel(name, {exact: true})
const press = (name: string): Promise<void> => page.getByRole('button', {name, exact: true}).click()
const answer = (): Locator => page.getByRole('region', {name: 'Answer'})

/** The JSON of a complete answer. */
async function answered(): Promise<JsonValue> {
  return JSON.parse(await answer().getByRole('region', {name: 'Text of the answer'}).innerText())
}

/** The JSON beside the form. */
async function written(): Promise<JsonValue> {
  return JSON.parse(await field('JSON').inputValue())
}

test('a unary method is called by its form, with the equivalent curl, its status, request id and time', async (t) => {
  await open('served.Echo/Whole')
  await field('name').fill("Ada's")
  await field('int64Value').fill('9007199254740993')
  t.deepEqual(await written(), {name: "Ada's", int64Value: '9007199254740993'})
  t.is(
    await page.getByRole('region', {name: 'As a curl command'}).innerText(),
    `curl -H 'content-type: application/json' --data-binary '{"name":"Ada'\\''s","int64Value":"9007199254740993"}' ${app.url('/whole')}`,
  )
  const called = app.echo.next()
  await press('Send')
  const {context} = await called
  t.deepEqual(await answered(), {name: "Ada's", int64Value: '9007199254740993'})
  t.regex(await answer().getByRole('status').innerText(), /^200 OK after \d+ ms$/)
  const id = await answer().locator('.request-id code').innerText()
  t.deepEqual(context.metadata.get('x-request-id'), [id])
})

test('path, query and body of each rule are filled from the same form', async (t) => {
  await open('served.Echo/Whole')
  await field('name').fill('a/b c')
  await field('int64Value').fill('7')
  await field('Set child').check()
  await page.getByRole('group', {name: 'child', exact: true}).getByLabel('age', {exact: true}).fill('3')
  const url = page.locator('.url')
  const paths: Record<string, string> = {}
  for (const option of await field('Path').locator('option').allInnerTexts()) {
    await field('Path').selectOption(option)
    paths[option] = await url.innerText()
    await press('Send')
    await answer().getByText('200 OK').waitFor()
    // A PATCH gets an update mask with the fields of its body.
    const mask = option.startsWith('PATCH') && {mask: 'age'}
    t.deepEqual(await answered(), {name: 'a/b c', int64Value: '7', child: {age: 3}, ...mask}, option)
  }
  t.deepEqual(paths, {
    'POST /whole': '/whole',
    'GET /whole': '/whole?name=a%2Fb+c&int64Value=7&child.age=3',
    'PUT /whole/{name}': '/whole/a%2Fb%20c',
    'PATCH /whole/{name}/{int64Value}': '/whole/a%2Fb%20c/7',
    'DELETE /whole/{name}': '/whole/a%2Fb%20c?int64Value=7&child.age=3',
  })
})

test('a path that a field does not fit is not sent, and the field says what it expects', async (t) => {
  await open('served.Echo/Paths')
  await field('Path').selectOption('GET /many/{name=shelves/*/books/*}')
  await press('Send')
  const failure = page
    .locator('.field', {has: field('name')})
    .locator('.failure')
    .first()
  t.is(await failure.innerText(), 'The path needs "shelves/*/books/*"')
  await field('name').fill('shelves/1/books/a b')
  await press('Send')
  t.deepEqual(await answered(), {name: 'shelves/1/books/a b'})
})

test('the form shows what the API says about a field', async (t) => {
  await open('served.Echo/Whole')
  await field('int32Value').fill('many')
  await press('Add to names')
  await press('Add to numbers')
  await field('A value of numbers').fill('1.5')
  await press('Send')
  await answer().getByText('400 Bad Request').waitFor()
  const control = field('int32Value')
  t.is(await control.getAttribute('aria-invalid'), 'true')
  const [, described = ''] = ((await control.getAttribute('aria-describedby')) ?? '').split(' ')
  const told = await page.locator(`#${described}`).innerText()
  t.regex(told, /int32Value.*expected/)
  t.true((await answer().locator('.fault').innerText()).includes(told))
  await control.fill('5')
  t.is(await control.getAttribute('aria-invalid'), null)
  await press('Send')
  const items = page.getByRole('group', {name: 'numbers', exact: true})
  await items.getByText(/numbers\[0\].*expected/).waitFor()
})

/** One field of each kind. */
const every: Record<string, JsonValue> = {
  name: 'Ada\nLovelace',
  flag: true,
  data: 'AQID',
  doubleValue: 1.5,
  floatValue: 'NaN',
  int32Value: -1,
  int64Value: '-9223372036854775808',
  uint64Value: '18446744073709551615',
  color: 'GREEN',
  child: {name: 'inner', child: {child: {right: {age: 4}}}},
  maybeName: '',
  maybeNumber: 0,
  names: ['a', ''],
  longs: ['1'],
  colors: ['RED', 'COLOR_UNSPECIFIED'],
  datas: ['AA=='],
  children: [{name: 'one'}, {}],
  labels: {a: 'b', '': 'c'},
  longMap: {x: '2'},
  childMap: {'1': {age: 1}},
  colorMap: {true: 'RED'},
  choiceChild: {left: 'l'},
  stringWrapper: '',
  int64Wrapper: '5',
  boolWrapper: false,
  time: '2024-02-29T12:00:00Z',
  duration: '1.500s',
  mask: 'name,child.age',
  struct: {any: ['json', null]},
  value: null,
  list: [1, 'two'],
  any: {'@type': 'type.googleapis.com/every.Child', name: 'packed'},
  empty: {},
  times: ['2024-02-29T12:00:00Z'],
  values: [{a: 1}, 'b'],
  valueMap: {v: [true]},
  longWrappers: ['3'],
  otherName: 'renamed',
}

test('every kind of field is converted from JSON to the form and back', async (t) => {
  await open('served.Echo/Whole')
  await field('JSON').fill(JSON.stringify(every))
  // A change of one field rewrites all of the JSON.
  await field('float_value').or(field('floatValue')).fill('2.5')
  t.deepEqual(await written(), {...every, floatValue: 2.5})
  await press('Send')
  t.deepEqual(await answered(), everyJson(app.schema, {...every, floatValue: 2.5}))
})

test('a recursive message can be opened to any depth, and a oneof holds one member', async (t) => {
  await open('served.Echo/Whole')
  await field('Set child').check()
  let group = page.getByRole('group', {name: 'child', exact: true})
  for (let depth = 0; depth < 3; depth++) {
    await group.getByLabel('Set child').nth(1).check()
    group = group.getByRole('group', {name: 'child', exact: true}).first()
  }
  await group.getByLabel('longId', {exact: true}).fill('8')
  t.deepEqual(await written(), {child: {child: {child: {child: {longId: '8'}}}}})
  await field('Set child').first().uncheck()
  await field('choice').selectOption('choiceText')
  await field('choiceText').fill('text')
  await field('choice').selectOption('choiceLong')
  await field('choiceLong').fill('1')
  t.deepEqual(await written(), {choiceLong: '1'})
  await field('choice').selectOption('')
  t.deepEqual(await written(), {})
})

test('a field for any JSON says what is wrong with it, and nothing is sent while it is wrong', async (t) => {
  await open('served.Echo/Whole')
  await field('struct').fill('{"half": ')
  t.is(await field('struct').getAttribute('aria-invalid'), 'true')
  const failure = page
    .locator('.field', {has: field('struct')})
    .locator('.failure')
    .first()
  t.regex(await failure.innerText(), /JSON/)
  const calls = app.backend.log.length
  await press('Send')
  await answer().getByText('Not sent').waitFor()
  t.is(app.backend.log.length, calls)
  await field('struct').fill('{"half": 0.5}')
  t.is(await field('struct').getAttribute('aria-invalid'), null)
  await press('Send')
  t.deepEqual(await answered(), {struct: {half: 0.5}})
})

test('bytes are entered as text, in base64 or as a file', async (t) => {
  await open('served.Echo/Whole')
  const row = page.locator('.field', {has: field('data')}).first()
  await field('data').fill('hi')
  t.deepEqual(await written(), {data: 'aGk='})
  await row.getByLabel('How the bytes are written').selectOption('base64')
  await field('data').fill('AQI=')
  t.deepEqual(await written(), {data: 'AQI='})
  await row
    .locator('input[type=file]')
    .setInputFiles({name: 'b', mimeType: 'text/plain', buffer: Buffer.from([255, 0])})
  await page.waitForFunction('document.querySelector(".editor").value.includes("/wA=")')
  t.deepEqual(await written(), {data: '/wA='})
})

test('messages of a live stream appear as they arrive, and stopping it cancels the call', async (t) => {
  await open('served.Streams/Down')
  const more = Promise.withResolvers<void>()
  using _ = app.streams.handle({
    async *down(_request, context) {
      yield {name: 'first'}
      await more.promise
      yield {name: 'second'}
      await silence(context)
    },
  })
  const called = app.streams.next()
  await press('Send')
  const messages = answer().getByRole('list', {name: 'Messages'}).getByRole('listitem')
  await messages.getByText('"first"').waitFor()
  t.is(await messages.count(), 1)
  more.resolve()
  await messages.getByText('"second"').waitFor()
  t.regex(await answer().locator('.stats').innerText(), /^2 messages · [\d.]+\/s · 33 B · /)
  await press('Stop')
  const {cancelled} = await called
  await cancelled
  await answer().getByText('Stopped').waitFor()
  t.is(await messages.count(), 2)
  t.is(await page.getByRole('button', {name: 'Stop'}).count(), 0)
  t.true(await page.getByRole('button', {name: 'Send', exact: true}).isEnabled())
})

test('a stream that ends is complete, and one that fails shows the error after its messages', async (t) => {
  await open('served.Streams/Down')
  await field('int32Value').fill('500')
  await press('Send')
  await answer().getByText('complete: 500 messages').waitFor()
  t.regex(await answer().locator('.stats').innerText(), /^500 messages/)
  t.regex(await answer().getByRole('listitem').last().innerText(), /^500\s*\{"int32Value":500\}$/)
  using _ = app.streams.handle({
    async *down() {
      yield {name: 'only'}
      throw new StatusError(status.NOT_FOUND, 'No <b>more</b>')
    },
  })
  await press('Send')
  await answer().locator('.fault').waitFor()
  t.is(await answer().locator('.fault').innerText(), 'NOT_FOUND No <b>more</b>')
  t.regex(await answer().getByRole('status').innerText(), /^200 OK after .* Failed$/)
  t.is(await answer().getByRole('listitem').count(), 1)
})

test('messages of a bidirectional stream are entered, sent and answered one by one, over a WebSocket', async (t) => {
  await open('served.Streams/Both')
  const messages = answer().getByRole('list', {name: 'Messages'}).getByRole('listitem')
  const called = app.streams.next()
  await field('name').fill('one')
  await field('name').press('Enter')
  await messages.getByText('"one"').nth(1).waitFor()
  await called
  // The sent message is selected, so that typing replaces it.
  await page.keyboard.type('two')
  await page.keyboard.press('Enter')
  await messages.getByText('"two"').nth(1).waitFor()
  t.deepEqual(
    (await messages.allInnerTexts()).map((text) => text.replace(/\s+/g, ' ')),
    ['→ sent {"name":"one"}', '1 {"name":"one"}', '→ sent {"name":"two"}', '2 {"name":"two"}'],
  )
  t.regex(await answer().getByRole('status').innerText(), /^Open after/)
  await press('No more messages')
  await answer().getByText('complete: 2 messages').waitFor()
  t.true(await page.getByRole('button', {name: 'Send', exact: true}).isEnabled())

  const again = app.streams.next()
  await press('Send')
  await messages.getByText('"two"').nth(1).waitFor()
  await press('Stop')
  await (await again).cancelled
  await answer().getByText('Stopped').waitFor()

  using _ = app.streams.handle({
    // biome-ignore lint/correctness/useYield: it fails before
    async *both(requests) {
      for await (const _request of requests) throw new StatusError(status.FAILED_PRECONDITION, 'Not today')
    },
  })
  await press('Send')
  await answer().getByText('Failed: FAILED_PRECONDITION').waitFor()
  t.is(await answer().locator('.fault').innerText(), 'FAILED_PRECONDITION Not today')
})

test('a client stream over a WebSocket is answered when there are no more messages', async (t) => {
  await open('served.Streams/Up')
  await field('Path').selectOption('POST /up/{name}/child')
  await field('name').fill('a/b')
  await field('Set child').check()
  const age = page.getByRole('group', {name: 'child', exact: true}).getByLabel('age', {exact: true})
  for (const value of ['1', '2']) {
    await age.fill(value)
    await press('Send')
    await answer().getByText(`{"age":${value}}`).waitFor()
  }
  await press('No more messages')
  await answer().getByText('complete: 1 message').waitFor()
  const last = await answer().getByRole('listitem').last().innerText()
  t.deepEqual(JSON.parse(last.slice(last.indexOf('{'))), {names: ['a/b', 'a/b'], children: [{age: 1}, {age: 2}]})
})

test('a client stream sends the messages that were added, and gets one answer', async (t) => {
  await open('served.Streams/Up')
  await field('All at once').check()
  for (const name of ['one', 'two', 'three']) {
    await field('name').fill(name)
    await press('Add to the stream')
  }
  await press('Remove message 2')
  await press('Send 2')
  t.deepEqual(await answered(), {names: ['one', 'three']})
})

test('a bidirectional stream sends the messages that were added, and shows each answer', async (t) => {
  await open('served.Streams/Both')
  await field('All at once').check()
  for (const name of ['one', 'two']) {
    await field('name').fill(name)
    await press('Add to the stream')
  }
  await press('Edit message 1')
  t.deepEqual(await written(), {name: 'one'})
  await field('name').fill('last')
  await press('Add to the stream')
  await press('Send 2')
  await answer().getByText('complete: 2 messages').waitFor()
  t.deepEqual(
    (await answer().getByRole('listitem').allInnerTexts()).map((text) => text.replace(/\s+/g, ' ')),
    ['1 {"name":"two"}', '2 {"name":"last"}'],
  )
})

test('bytes of a google.api.HttpBody are sent and shown by their content type', async (t) => {
  await open('served.Bytes/Mirror')
  await field('contentType').fill('text/plain; charset=utf-8')
  await field('data').fill('as it is')
  await press('Send')
  await answer().getByText('200 OK').waitFor()
  t.is(await answer().getByRole('region', {name: 'Text of the answer'}).innerText(), 'as it is')
})

test('a file is uploaded with its progress, and so is an object of Storage', async (t) => {
  await open('/upload')
  const bytes = Buffer.alloc(3 * MiB, 'film')
  await field('File').setInputFiles({name: 'film.mp4', mimeType: 'video/mp4', buffer: bytes})
  t.is(await field('name').inputValue(), 'film.mp4')
  await press('Upload')
  await answer().getByText('400 Bad Request').waitFor()
  t.regex(
    await page
      .locator('.field', {has: field('creatorId')})
      .locator('.failure')
      .innerText(),
    /creatorId.*missing/,
  )
  await field('creatorId').fill('me')
  await press('Upload')
  await answer().getByText('200 OK').waitFor()
  t.is(((await answered()) as {size: number}).size, bytes.length)
  t.regex(await page.locator('.progress').innerText(), /^Backend has 100 % · 3.1 MB of 3.1 MB/)
  t.is(await page.getByRole('progressbar').getAttribute('value'), '1')

  await page.getByLabel('An object of Storage').check()
  await field('Bucket').fill('samples')
  await field('Object').fill('notes.txt')
  await press('Upload')
  await answer().getByText('"size": 16').waitFor()
  t.is(app.backend.repo.repos.at(-1)?.name, 'film.mp4')
})

test('an upload can be stopped, and a file that is too large for any request is not sent', async (t) => {
  await open('/upload')
  await field('creatorId').fill('me')
  await field('File').setInputFiles({name: 'a', mimeType: '', buffer: Buffer.alloc(8 * MiB)})
  const called = app.backend.repo.next({silent: true})
  await press('Upload')
  const {cancelled} = await called
  await press('Stop')
  await cancelled
  await answer().getByText('Stopped').waitFor()
  const calls = app.backend.log.length
  await field('File').setInputFiles({name: 'b', mimeType: '', buffer: Buffer.alloc(33 * MiB)})
  await press('Upload')
  await page.getByText('34.6 MB are too much for one request').waitFor()
  t.is(app.backend.log.length, calls)
})

test('a file that is too large for a request goes to Storage first, resumes there, and is uploaded then', async (t) => {
  const large = await startApp({
    env: {CONSOLE: 'true', UPLOAD_BUCKETS: 'samples', UPLOAD_SESSIONS: 'samples/incoming/'},
  })
  try {
    large.storage.createBucket('samples')
    await page.goto(large.url('/#/upload'))
    await page.getByText('Files of more than 32 MiB are sent to Storage first').waitFor()
    t.is(await page.getByRole('link', {name: '/upload/session'}).count(), 0)
    const size = 40 * MiB
    await field('creatorId').fill('me')
    await field('File').setInputFiles({name: 'film.mp4', mimeType: 'video/mp4', buffer: Buffer.alloc(size, 'film')})
    // The connection of the first attempt is reset.
    let puts = 0
    await page.route('**/upload/storage/**', (route) =>
      route.request().method() === 'PUT' && puts++ === 0 ? route.abort('connectionreset') : route.continue(),
    )
    await press('Upload')
    await answer().getByText('200 OK').waitFor()
    t.is(((await answered()) as {size: number}).size, size)
    t.regex(await page.locator('.progress').innerText(), /^Backend has 100 % · 41.9 MB of 41.9 MB/)
    t.is(puts, 3)
    t.is(large.backend.repo.repos.at(-1)?.name, 'film.mp4')

    using _ = large.storage.forbid('samples')
    await press('Upload')
    await answer().getByText('No permission to write into bucket "samples"').waitFor()
  } finally {
    await page.goto('about:blank')
    await large.close()
  }
})

test('any request can be sent to another function, and health is shown at a glance', async (t) => {
  await open('/ping')
  await field('Query').fill('message=hi')
  await press('Send')
  await answer().getByText('"message": "hi"').waitFor()
  await page.getByText('healthy', {exact: true}).click()
  await page.getByText(`SERVING ${app.backend.url}`).waitFor()
  t.pass()
})

test('comments of protos are shown as text', async (t) => {
  await open('hostile.Comments/Say')
  await page.getByText(`<b id="hit">Says</b> code <a href="javascript:document.title='hit'">this</a>`).waitFor()
  await page.getByText('<style>*{display:none}</style>').waitFor()
  t.is(await page.locator('#hit').count(), 0)
  t.is(await page.title(), 'gRPC services over HTTP')
})

test('headers are sent, and the types of an answer can be read', async (t) => {
  await open('served.Echo/Whole')
  await page.getByText('Headers', {exact: true}).first().click()
  await field('Request headers').fill('grpc-metadata-x-tenant: acme\nx-server-timeout: 5')
  t.regex(await page.getByRole('region', {name: 'As a curl command'}).innerText(), /-H 'grpc-metadata-x-tenant: acme'/)
  const called = app.echo.next()
  await press('Send')
  t.deepEqual((await called).context.metadata.get('x-tenant'), ['acme'])
  await answer().getByText('200 OK').waitFor()
  const output = page.locator('.method-head .type-details').first()
  await output.getByText('Every', {exact: true}).click()
  await output.getByText('Child', {exact: true}).and(page.locator('summary code')).first().click()
  await output.getByText('longId').waitFor()
  t.deepEqual(await violations(), [])
})

test('a path that no browser can send is not sent', async (t) => {
  await open('served.Echo/Paths')
  await field('name').fill('..')
  await press('Send')
  await answer().getByText('Not sent').waitFor()
  t.regex(await answer().innerText(), /A browser cannot have/)
})

test('the filter finds methods by words', async (t) => {
  await open('served.Echo/Whole')
  await field('Filter the methods').fill('streams do')
  const links = page.getByRole('navigation').getByRole('link')
  t.deepEqual(
    (await links.allInnerTexts()).map((text) => text.split('\n')[0]),
    ['Down', 'openapi.json'],
  )
})

test('a call can be made only with the keyboard', async (t) => {
  await page.goto(app.url('/'))
  await page.getByRole('heading', {level: 1}).waitFor()
  /** Presses Tab until the focused element has this name. */
  const tabTo = async (name: RegExp) => {
    for (let presses = 0; presses < 200; presses++) {
      await page.keyboard.press('Tab')
      const focused = await page.evaluate<string>(
        `((element) => element.labels?.[0]?.textContent || element.ariaLabel || element.textContent)(document.activeElement)`,
      )
      if (name.test(focused)) return
    }
    t.fail(`Tab does not get to ${name}`)
  }
  await tabTo(/^Whole/)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', {level: 1, name: 'Whole'}).waitFor()
  await tabTo(/^int32Value$/)
  await page.keyboard.type('2')
  await page.keyboard.press('Control+Enter')
  t.deepEqual(await answered(), {int32Value: 2})
  await tabTo(/^Text of the answer$/)
  t.pass()
})

test('with AUTH=jwt the page asks for a token, and sends it', async (t) => {
  const issuer = await new TestIssuer().listen()
  const closed = await startApp({
    env: {CONSOLE: 'true', GATEWAY_WEBSOCKET: 'true', AUTH: 'jwt', AUTH_ISSUERS: `${issuer.url} audience=api`},
  })
  try {
    await page.goto(closed.url('/'))
    await page.getByRole('heading', {name: 'A token is needed'}).waitFor()
    t.is(await page.getByRole('navigation').getByRole('link').count(), 0)
    await press('Set a token')
    await field('Authorization: Bearer').fill(await issuer.token({aud: 'api', sub: 'ada'}))
    await press('Use')
    await page.getByRole('link', {name: /^Send /}).click()
    await field('message').fill('hi')
    await press('Send')
    await answer().getByText('"message": "hi"').waitFor()
    // The page shows only the beginning of the token, in case somebody else sees the screen.
    const shown = await page.getByRole('region', {name: 'As a curl command'}).innerText()
    t.regex(shown, /authorization: Bearer .{9}…/)
    await page.getByText('healthy', {exact: true}).waitFor()
    await page.getByRole('link', {name: /^CreateRepo /}).click()
    await field('body').selectOption('context')
    await page.getByRole('group', {name: 'context', exact: true}).getByLabel('name', {exact: true}).fill('live')
    await press('Send')
    await press('No more messages')
    await answer().getByText('complete: 1 message').waitFor()
    t.is(closed.backend.repo.repos.at(-1)?.name, 'live')
  } finally {
    await page.goto('about:blank')
    await closed.close()
    await issuer.close()
  }
})

/** axe's findings in the current page, as text. */
async function violations(): Promise<string[]> {
  await page.evaluate(axe)
  const found = await page.evaluate('axe.run({resultTypes: ["violations"]})')
  return (found as {violations: {id: string; nodes: {html: string; failureSummary: string}[]}[]}).violations.flatMap(
    ({id, nodes}) => nodes.map(({html, failureSummary}) => `${id}: ${html} ${failureSummary}`),
  )
}

/** Shows each page with all its parts filled. */
async function eachPage(look: (name: string) => Promise<void>): Promise<void> {
  await open('served.Echo/Whole')
  await field('JSON').fill(JSON.stringify(every))
  await press('Send')
  await answer().getByText('200 OK').waitFor()
  await answer().getByText('Headers', {exact: true}).click()
  await look('a whole answer')
  await field('JSON').fill(
    '{"int32Value": "x", "name": "a-word-that-is-longer-than-any-window-is-wide-and-has-no-place-to-break-it"}',
  )
  await press('Send')
  await answer().getByText('400 Bad Request').waitFor()
  await look('a failure')
  await open('served.Streams/Both')
  await press('Send')
  await press('No more messages')
  await answer().getByText('complete').waitFor()
  await look('a live stream')
  await field('All at once').check()
  await press('Add to the stream')
  await press('Send 1')
  await answer().getByText('complete').waitFor()
  await look('a stream')
  await open('/upload')
  await look('an upload')
  await open('/ping')
  await look('a function')
}

for (const colorScheme of ['light', 'dark'] as const) {
  test(`axe finds no accessibility violations, in ${colorScheme} colours`, async (t) => {
    await page.emulateMedia({colorScheme})
    await eachPage(async (name) => {
      t.deepEqual(await violations(), [], name)
    })
    await press('Token: not set')
    t.deepEqual(await violations(), [])
  })
}

test('everything fits on a phone without scrolling sideways', async (t) => {
  await page.setViewportSize({width: 360, height: 740})
  await eachPage(async (name) => {
    const widths = await page.evaluate('[document.documentElement.scrollWidth, innerWidth]')
    t.deepEqual(widths, [360, 360], name)
    t.deepEqual(await clipped(), [], name)
  })
  await press('Methods')
  await page.getByRole('link', {name: /^Whole/}).click()
  await page.getByRole('heading', {level: 1, name: 'Whole'}).waitFor()
})

/** The elements that are wider than the window and cannot be scrolled to. */
async function clipped(): Promise<string[]> {
  return await page.evaluate(
    `[...document.querySelectorAll('main *:not(pre *), header *')]
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && element.checkVisibility())
      .map((element) => element.outerHTML.slice(0, 120))`,
  )
}
