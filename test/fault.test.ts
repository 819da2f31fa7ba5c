import {create} from '@bufbuild/protobuf'
import {type Any, AnySchema} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {codeOf, codes, detail, Fault} from '../src/core/fault.ts'
import {DebugInfoSchema, ErrorInfoSchema, RetryInfoSchema} from '../src/gen/google/rpc/error_details_pb.js'
import {detailsJson, failureHeaders, failureJson, httpStatus, httpStatusOf} from '../src/http/response/failure.ts'

/** google/rpc/code.proto: number, name, HTTP status. */
const table = [
  [0, 'OK', 200],
  [1, 'CANCELLED', 499],
  [2, 'UNKNOWN', 500],
  [3, 'INVALID_ARGUMENT', 400],
  [4, 'DEADLINE_EXCEEDED', 504],
  [5, 'NOT_FOUND', 404],
  [6, 'ALREADY_EXISTS', 409],
  [7, 'PERMISSION_DENIED', 403],
  [8, 'RESOURCE_EXHAUSTED', 429],
  [9, 'FAILED_PRECONDITION', 400],
  [10, 'ABORTED', 409],
  [11, 'OUT_OF_RANGE', 400],
  [12, 'UNIMPLEMENTED', 501],
  [13, 'INTERNAL', 500],
  [14, 'UNAVAILABLE', 503],
  [15, 'DATA_LOSS', 500],
  [16, 'UNAUTHENTICATED', 401],
] as const

const any = (typeUrl: string, value: Uint8Array = new Uint8Array()): Any => create(AnySchema, {typeUrl, value})

// biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of every shape
const errorOf = (fault: Fault): any => (failureJson(fault, 'aip') as any).error

for (const [number, name, http] of table) {
  test(`${number} is ${name} is HTTP ${http}, as in google/rpc/code.proto`, (t) => {
    t.is(codeOf(number), name)
    t.is(codes[name], number)
    t.is(httpStatus[name], http)
    const fault = new Fault(name, 'Why')
    t.is(httpStatusOf(fault), http)
    t.deepEqual(failureJson(fault, 'aip'), {error: {code: http, message: 'Why', status: name, details: []}})
    t.deepEqual(failureJson(fault, 'status'), {code: number, message: 'Why', details: []})
  })
}

test('there are no other codes', (t) => {
  t.is(Object.keys(codes).length, table.length)
  for (const number of [-1, 17, 1.5, Number.NaN]) t.is(codeOf(number), 'UNKNOWN')
})

test('a status of its own replaces that of the code for the caller', (t) => {
  const fault = new Fault('INVALID_ARGUMENT', 'Too long', {http: 413})
  t.is(errorOf(fault).code, 413)
  t.is(errorOf(fault).status, 'INVALID_ARGUMENT')
})

test('details of a known type are JSON with their type', (t) => {
  const info = detail(ErrorInfoSchema, {reason: 'WHY', domain: 'there', metadata: {a: 'b'}})
  t.deepEqual(errorOf(new Fault('ABORTED', 'No', {details: [info]})).details, [
    {'@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'WHY', domain: 'there', metadata: {a: 'b'}},
  ])
})

test('details of an unknown type, or with invalid content, are kept unchanged', (t) => {
  const details = [
    any('type.googleapis.com/acme.Secret', Uint8Array.of(1, 2, 255)),
    any('type.googleapis.com/google.rpc.ErrorInfo', Uint8Array.of(255)),
    any('nonsense/'),
    any(''),
  ]
  t.deepEqual(errorOf(new Fault('ABORTED', 'No', {details})).details, [
    {'@type': 'type.googleapis.com/acme.Secret', value: 'AQL/'},
    {'@type': 'type.googleapis.com/google.rpc.ErrorInfo', value: '/w=='},
    {'@type': 'nonsense/', value: ''},
    {'@type': '', value: ''},
  ])
})

test('a stack trace of the backend is removed, for any name of its type', (t) => {
  const {value} = detail(DebugInfoSchema, {stackEntries: ['at secret()'], detail: 'secret'})
  const names = [
    'type.googleapis.com/google.rpc.DebugInfo',
    'elsewhere/google.rpc.DebugInfo',
    '/google.rpc.DebugInfo',
    'google.rpc.DebugInfo',
  ]
  const fault = new Fault('ABORTED', 'No', {details: names.map((name) => any(name, value))})
  t.deepEqual(errorOf(fault).details, [])
  t.deepEqual(detailsJson(fault), [])
})

for (const [seconds, nanos, header] of [
  [3, 0, '3'],
  [3, 1_000_000, '4'],
  [0, 500_000_000, '1'],
  [0, 0, '0'],
  [-5, 0, '0'],
] as const) {
  test(`RetryInfo of ${seconds} s and ${nanos} ns is Retry-After: ${header}`, (t) => {
    const details = [detail(RetryInfoSchema, {retryDelay: {seconds: BigInt(seconds), nanos}})]
    t.deepEqual(failureHeaders(new Fault('UNAVAILABLE', 'Later', {details})), {'retry-after': header})
  })
}

test('RetryInfo that is empty or invalid gives no header, and is kept', (t) => {
  const name = 'type.googleapis.com/google.rpc.RetryInfo'
  for (const details of [[any(name)], [any(name, Uint8Array.of(255))]]) {
    const fault = new Fault('UNAVAILABLE', 'Later', {details})
    t.deepEqual(failureHeaders(fault), {})
    t.is(detailsJson(fault).length, 1)
  }
})

test('its own headers are kept together with Retry-After', (t) => {
  const details = [detail(RetryInfoSchema, {retryDelay: {seconds: 1n}})]
  t.deepEqual(failureHeaders(new Fault('UNAVAILABLE', 'Later', {details, headers: {allow: 'GET'}})), {
    'retry-after': '1',
    allow: 'GET',
  })
})

test('a reason is an ErrorInfo of our domain, before all other details', (t) => {
  const details = [any('type.googleapis.com/acme.Other')]
  t.deepEqual(errorOf(new Fault('ABORTED', 'No', {reason: 'WHY', metadata: {a: 'b'}, details})).details, [
    {'@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'WHY', domain: 'grpc-functions', metadata: {a: 'b'}},
    {'@type': 'type.googleapis.com/acme.Other', value: ''},
  ])
})

test('invalid fields are named in a BadRequest', (t) => {
  const fault = Fault.invalid('context.name', 'It is missing', {http: 415})
  t.deepEqual(failureJson(fault, 'aip'), {
    error: {
      code: 415,
      message: 'It is missing',
      status: 'INVALID_ARGUMENT',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.BadRequest',
          fieldViolations: [{field: 'context.name', description: 'It is missing'}],
        },
      ],
    },
  })
})

test('text for the caller only is in the violation too, which is as short as a message', (t) => {
  const fault = Fault.invalid('x'.repeat(1000), 'Cannot read it', {callerOnly: `, got "${'y'.repeat(10_000)}"`})
  const {field, description} = errorOf(fault).details[0].fieldViolations[0]
  t.is(field, `${'x'.repeat(200)}…`)
  t.is(description, `Cannot read it, got "${'y'.repeat(4075)}…`)
  t.is(fault.message, description)
  t.is(fault.logMessage, 'Cannot read it')
})

for (const thrown of [new Error('secret'), 'secret', {secret: true}, Symbol('secret'), undefined, null]) {
  test(`from ${String(thrown)} comes INTERNAL, without its text`, (t) => {
    const fault = Fault.from(thrown)
    t.is(fault.code, 'INTERNAL')
    t.is(fault.cause, thrown)
    t.deepEqual(failureJson(fault, 'aip'), {
      error: {code: 500, message: 'Internal error', status: 'INTERNAL', details: []},
    })
  })
}

test('from a Fault comes itself, and its cause and hint do not reach the caller', (t) => {
  const fault = new Fault('NOT_FOUND', 'No', {cause: new Error('secret'), hint: 'secret'})
  t.is(Fault.from(fault), fault)
  t.notRegex(JSON.stringify(fault), /secret/)
})
