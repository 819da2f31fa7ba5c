import '../helpers/timers.ts'
import http2 from 'node:http2'
import test from 'ava'
import type {FaultProxy} from '../../local/faults/proxy.ts'
import type {FaultServer} from '../../local/faults/server.ts'
import {adviceOn, lossBy, lossIn, lossOf} from '../../src/clients/connections/losses.ts'
import {faultOf, reasonOf} from './life.ts'
import {survivalRig, until} from './survival-rig.ts'

const {NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR} = http2.constants

type Lose = (rig: {server: FaultServer; proxy: FaultProxy}) => void

/** How a connection breaks during a call, and what the log says about it. */
const rows: readonly (readonly [title: string, lose: Lose, hint: RegExp])[] = [
  ['is reset', ({proxy}) => proxy.reset(), /it was reset without a word: did the server crash, run out of memory/],
  ['is closed', ({proxy}) => proxy.fin(), /it was closed without a word: did the server exit without a graceful stop/],
  [
    'is ended by a server that shuts down',
    ({server}) => {
      server.goaway()
      server.dropConnections()
    },
    /the server shut down, and did not wait for its calls: have it end its calls before it exits/,
  ],
  [
    'is ended for its age',
    ({server}) => {
      server.goaway({data: 'max_age'})
      server.dropConnections()
    },
    /the age at which the server ends it: raise the server's max_connection_age_grace/,
  ],
  [
    'is ended for too many PINGs',
    ({server}) => server.goaway({code: NGHTTP2_ENHANCE_YOUR_CALM, data: 'too_many_pings'}),
    /PINGs for an abuse: ENHANCE_YOUR_CALM: lower the time that its keepalive policy wants/,
  ],
  [
    'is ended for an error of HTTP/2',
    ({server}) => server.goaway({code: NGHTTP2_PROTOCOL_ERROR}),
    /ended the connection for an error of HTTP\/2: look at the log of the server/,
  ],
  [
    'brings bytes that are no HTTP/2',
    ({proxy, server}) => {
      proxy.garble(['toClient'])
      server.maxStreams = 99
    },
    /what came was no valid HTTP\/2: look for what changes or mixes bytes on the way/,
  ],
]

for (const [title, lose, hint] of rows) {
  test.serial(`a connection that ${title} during a call: 503, and the log says why, and what to do`, async (t) => {
    const rig = await survivalRig(t)
    const {ask, server, quiet} = rig
    await ask('before')
    server.next({kind: 'stall'})
    const lost = faultOf(t, ask('in flight'))
    await until(() => server.executions.length === 2)
    lose(rig)
    const fault = await lost
    t.like(fault, {code: 'UNAVAILABLE', retryAfter: 1, message: 'The backend of ping.PingService.Send broke off'})
    t.is(reasonOf(fault), 'BACKEND_UNAVAILABLE')
    t.regex(fault.hint ?? '', hint)
    t.true(fault.hint?.startsWith(`the connection to ${rig.backend.url} broke off with calls in flight: `))
    t.deepEqual(server.doubles, [])
    quiet()
  })
}

test.serial('a connection that falls silent during a call is distinguished from one that ends', async (t) => {
  const {ask, server, proxy, pool, quiet} = await survivalRig(t)
  await ask('before')
  server.next({kind: 'stall'})
  const lost = faultOf(t, ask('in flight'))
  await until(() => server.executions.length === 2)
  proxy.drop()
  pool.connections[0]!.heard -= 60_000
  await ask('after')
  t.regex((await lost).hint ?? '', /nothing came any more, not even the answer to a PING: did the machine/)
  quiet()
})

for (const [code, data, loss] of [
  [NGHTTP2_NO_ERROR, '', 'SHUT_DOWN'],
  [NGHTTP2_NO_ERROR, 'max_age', 'MAX_AGE'],
  [NGHTTP2_NO_ERROR, 'max_idle', 'MAX_AGE'],
  [NGHTTP2_NO_ERROR, 'max_age of all', 'SHUT_DOWN'],
  [NGHTTP2_PROTOCOL_ERROR, 'max_age', 'REJECTED'],
] as const) {
  test(`a GOAWAY with the code ${code} and "${data}" means ${loss}`, (t) => t.is(lossBy({code, data}), loss))
}

for (const [details, loss] of [
  ['Received RST_STREAM with code 2 triggered by internal client error: read ECONNRESET', 'RESET'],
  ['Connection dropped: write EPIPE', 'RESET'],
  ['Received RST_STREAM with code 2 triggered by internal client error: Protocol error', 'DISRUPTED'],
  ['Connection dropped', undefined],
  ['The server read EVERY page', undefined],
] as const) {
  test(`the status "${details}" tells ${loss ?? 'no cause'}`, (t) => t.is(lossIn(details), loss))
}

for (const [code, message, loss] of [
  ['ECONNRESET', 'read ECONNRESET', 'RESET'],
  ['ERR_HTTP2_ERROR', 'Protocol error', 'DISRUPTED'],
  ['ERR_HTTP2_SESSION_ERROR', 'Session closed with error code 1', 'DISRUPTED'],
  ['ERR_TLS_SESSION_ATTACK', 'TLS session renegotiation attack detected', 'CREDENTIALS'],
  ['EPROTO', 'write EPROTO 0:error:0A000416:SSL routines:ssl3_read_bytes', 'CREDENTIALS'],
] as const) {
  test(`the error ${code} of a connection means ${loss}`, (t) => {
    t.is(lossOf(Object.assign(new Error(message), {code})), loss)
  })
}

test('the end of a TLS session has its own text', (t) => {
  const error = Object.assign(new Error('SSL alert number 116'), {code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'})
  t.is(lossOf(error), 'CREDENTIALS')
  t.regex(
    adviceOn('CREDENTIALS', {url: 'https://a'} as never),
    /^the connection to https:\/\/a broke off with calls in flight: the server ended the TLS session: /,
  )
})
