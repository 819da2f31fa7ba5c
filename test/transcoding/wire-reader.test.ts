import {FieldOptionsSchema} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {certain, WireReader} from '../../src/transcoding/schema/wire-reader.ts'

type Read = (reader: WireReader, end: number) => unknown

const field: Read = (reader, end) => reader.field(end)
const inField =
  (read: Read): Read =>
  (reader, end) => [reader.field(end), read(reader, end)]
const number = inField((reader) => reader.number())
const skipNumber = inField((reader) => reader.skipNumber())
const skip = inField((reader, end) => reader.skip(end))
const length = inField((reader, end) => reader.end(end))
const name = inField((reader, end) => reader.name(end))
const options = inField((reader, end) => reader.options(FieldOptionsSchema, end))

/** What a decoder refuses, or reads in another way: it is left to the decoder. */
const uncertain: [what: string, read: Read, ...bytes: number[]][] = [
  ['a tag that is cut off', field, 0x88],
  ['a tag of six bytes', field, 0x88, 0x80, 0x80, 0x80, 0x80, 0x00],
  ['a tag beyond 31 bits', field, 0x88, 0x80, 0x80, 0x80, 0x08],
  [
    'a field behind the end of its message',
    (reader) => [reader.field(2), reader.number(), reader.field(2)],
    8,
    0x81,
    1,
  ],
  ['a number that is cut off', number, 0x08, 0x80],
  ['a number beyond 31 bits', number, 0x08, 0x80, 0x80, 0x80, 0x80, 0x08],
  ['a number that is text', number, 0x0a, 0x00],
  ['a number to skip that is text', skipNumber, 0x0a, 0x00],
  ['a number of eleven bytes', skipNumber, 0x08, ...Array.from({length: 10}, () => 0x80), 0x00],
  ['a length beyond the end', length, 0x0a, 0x01],
  ['a length that is a number', length, 0x08, 0x00],
  ['an empty name', name, 0x0a, 0x00],
  ['a name with a dot', name, 0x0a, 0x01, 0x2e],
  ['a group', skip, 0x0b, 0x0c],
  ['an uninterpreted option that is malformed', options, 0x0a, 0x04, 0xba, 0x3e, 0x01, 0x0a],
]

for (const [what, read, ...bytes] of uncertain) {
  test(`${what} is uncertain`, (t) => {
    t.is(
      certain(() => read(new WireReader(Uint8Array.from(bytes)), bytes.length)),
      undefined,
    )
  })
}

test('the largest tag and the largest numbers are read', (t) => {
  const largest = [0xff, 0xff, 0xff, 0xff, 0x07]
  const reader = new WireReader(Uint8Array.of(0xf8, 0xff, 0xff, 0xff, 0x07, ...largest, 8, ...Array(9).fill(0xff), 1))
  t.is(reader.field(21), 2 ** 28 - 1)
  t.is(reader.number(), 2 ** 31 - 1)
  t.is(reader.field(21), 1)
  reader.skipNumber()
  t.is(reader.field(21), 0)
})
