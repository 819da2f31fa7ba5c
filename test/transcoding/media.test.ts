import test from 'ava'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {type BodyReader, bodyForm, negotiate, streamTypes, unaryTypes} from '../../src/transcoding/media.ts'
import {caught} from './schema.ts'

/** Values of Accept, and the formats chosen for streams and unary answers by q-values: NDJSON by default, null for 406. */
const accepts: [accept: string | undefined, stream: string | null, unary: string | null][] = [
  [undefined, 'application/x-ndjson', 'application/json'],
  ['', 'application/x-ndjson', 'application/json'],
  [',', 'application/x-ndjson', 'application/json'],
  [' , ,', 'application/x-ndjson', 'application/json'],
  ['*/*', 'application/x-ndjson', 'application/json'],
  ['application/*', 'application/x-ndjson', 'application/json'],
  ['application/json', 'application/json', 'application/json'],
  ['Application/JSON; charset=utf-8', 'application/json', 'application/json'],
  ['text/event-stream', 'text/event-stream', null],
  ['text/*', 'text/event-stream', null],
  ['application/x-ndjson', 'application/x-ndjson', null],
  ['application/json;q=0.5, text/event-stream', 'text/event-stream', 'application/json'],
  ['application/json;q=0.5, text/event-stream;q=0.4', 'application/json', 'application/json'],
  [
    'application/json;q=0.1, application/x-ndjson;q=0.5, application/json;q=0.9',
    'application/json',
    'application/json',
  ],
  ['application/json, */*;q=0.1', 'application/json', 'application/json'],
  ['application/json, text/plain, */*', 'application/json', 'application/json'],
  ['*/*;q=0.1, application/x-ndjson;q=0', 'application/json', 'application/json'],
  ['application/x-ndjson;q=0, application/json;q=0', null, null],
  ['*/*, application/json;q=0', 'application/x-ndjson', null],
  ['*/*;q=0', null, null],
  ['text/html', null, null],
  ['application/json;q=2', null, null],
  ['application/json;q=', null, null],
  [',;,=', null, null],
]

for (const [accept, stream, unary] of accepts) {
  test(`Accept: ${accept} → ${stream} for a stream, ${unary} for one message`, (t) => {
    for (const [offered, expected] of [[streamTypes, stream] as const, [unaryTypes, unary] as const]) {
      if (expected) t.is(negotiate(accept, offered) as string, expected)
      else t.is(httpStatusOf(caught(() => negotiate(accept, offered))), 406)
    }
  })
}

/** Values of Content-Type: the header, the reader, and the form of the body (null for 415). */
const types: [contentType: string | undefined, reader: BodyReader, form: string | null][] = [
  [undefined, 'message', 'json'],
  ['', 'message', 'json'],
  ['application/json', 'message', 'json'],
  ['Application/Json; Charset=UTF-8', 'message', 'json'],
  ['application/json; charset="utf-8"', 'message', 'json'],
  ['application/json; charset=latin1', 'message', null],
  ['application/x-www-form-urlencoded', 'message', 'form'],
  ['multipart/form-data; boundary=x', 'message', 'multipart'],
  ['application/x-ndjson', 'message', null],
  ['application/merge-patch+json', 'message', null],
  ['text/plain', 'message', null],
  ['json', 'message', null],
  [undefined, 'stream', 'json'],
  ['application/json', 'stream', 'json'],
  ['application/x-ndjson', 'stream', 'json'],
  ['application/json-seq', 'stream', null],
  ['application/x-www-form-urlencoded', 'stream', null],
  ['multipart/form-data; boundary=x', 'stream', null],
  ['image/png', 'raw', 'raw'],
  [undefined, 'raw', 'raw'],
]

for (const [contentType, reader, form] of types) {
  test(`Content-Type: ${contentType} for a ${reader} → ${form ?? 415}`, (t) => {
    if (form) t.is(bodyForm(contentType, reader) as string, form)
    else t.is(httpStatusOf(caught(() => bodyForm(contentType, reader))), 415)
  })
}
