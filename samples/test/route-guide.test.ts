import test from 'ava'
import {exchange, open} from '../../test/functions/gateway-client.ts'
import type {App} from '../../test/helpers/app.ts'
import {startSamples} from './app.ts'

let app: App
test.before(async () => {
  app = await startSamples()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const towerBridge = {name: 'Tower Bridge, London', location: {latitude: 515054564, longitude: -753565}}
const eiffelTower = {name: 'Eiffel Tower, Paris', location: {latitude: 488583701, longitude: 22944813}}
const operaHouse = {name: 'Opera House, Sydney', location: {latitude: -338567844, longitude: 1512152967}}

const lines = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

for (const [path, feature] of [
  ['/api/route/features/-338567844/1512152967', operaHouse],
  ['/api/route/feature?latitude=515054564&longitude=-753565', towerBridge],
  [
    '/api/route/features/409146138/-746188906',
    {
      name: 'Berkshire Valley Management Area Trail, Jefferson, NJ',
      location: {latitude: 409146138, longitude: -746188906},
    },
  ],
  ['/api/route/features/1/-1', {location: {latitude: 1, longitude: -1}}],
  ['/api/route/features/0/0', {location: {}}],
] as const) {
  test.serial(`GetFeature: GET ${path}`, async (t) => {
    const {status, json} = await app.ask(t, path)
    t.is(status, 200)
    t.deepEqual(json, feature)
  })
}

const aroundTheChannel = {
  lo: {latitude: 480000000, longitude: -10000000},
  hi: {latitude: 520000000, longitude: 30000000},
}

test.serial('ListFeatures gives the features in a rectangle, whichever corners it names', async (t) => {
  const {lo, hi} = aroundTheChannel
  const query = (one: typeof lo, two: typeof lo) =>
    `lo.latitude=${one.latitude}&lo.longitude=${two.longitude}&hi.latitude=${two.latitude}&hi.longitude=${one.longitude}`
  for (const path of [query(lo, hi), query(hi, lo)].map((text) => `/api/route/features?${text}`)) {
    t.deepEqual(lines((await app.ask(t, path)).text), [eiffelTower, towerBridge])
  }
  const posted = await exchange(app.url(''), {
    method: 'POST',
    path: '/api/route/features:list',
    body: JSON.stringify(aroundTheChannel),
  })
  t.deepEqual(lines(posted.text), [eiffelTower, towerBridge])
})

test.serial('ListFeatures of a rectangle without area gives what lies exactly there', async (t) => {
  const {location} = towerBridge
  const body = JSON.stringify({lo: location, hi: location})
  const {text} = await exchange(app.url(''), {method: 'POST', path: '/api/route/features:list', body})
  t.deepEqual(lines(text), [towerBridge])
  t.is((await app.ask(t, '/api/route/features')).text, '')
})

test.serial('RecordRoute counts points and features, and measures the way', async (t) => {
  const points = [towerBridge.location, {latitude: 500000000, longitude: 10000000}, eiffelTower.location]
  const body = points.map((point) => JSON.stringify(point)).join('\n')
  const {json} = await exchange(app.url(''), {method: 'POST', path: '/api/route:record', body})
  const {distance, elapsedTime = 0, ...counts} = json
  t.deepEqual(counts, {pointCount: 3, featureCount: 2})
  // Along the great circles, for any value of the earth's radius.
  t.true(distance > 339_000 && distance < 344_000, String(distance))
  t.true(Number.isInteger(elapsedTime))
})

test.serial('RecordRoute of no points is a route without length', async (t) => {
  const {json} = await exchange(app.url(''), {method: 'POST', path: '/api/route:record', body: ''})
  t.deepEqual(json, {})
})

test.serial(
  'RouteChat answers each note with the earlier ones at its place, also those of other callers',
  async (t) => {
    const note = (longitude: number, message: string) => ({location: {latitude: 7, longitude}, message})
    const write = (message: object) => `${JSON.stringify(message)}\n`
    const body = [note(1, 'first'), note(2, 'elsewhere'), note(1, 'second')].map(write).join('')
    const {text} = await exchange(app.url(''), {method: 'POST', path: '/api/route:chat', body})
    t.deepEqual(lines(text), [note(1, 'first')])

    await using chat = await open(app.url(''), {method: 'POST', path: '/api/route:chat'})
    chat.write(write(note(1, 'third')))
    await chat.connection.until(/second/)
    chat.write(write(note(2, 'here too')))
    await chat.connection.until(/elsewhere/)
    chat.end()
    const answer = await chat.response()
    t.true(answer.whole)
    t.deepEqual(lines(answer.text), [note(1, 'first'), note(1, 'second'), note(2, 'elsewhere')])
  },
)
