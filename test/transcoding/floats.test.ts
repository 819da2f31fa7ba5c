import {create, fromBinary, fromJson, type JsonValue, toBinary} from '@bufbuild/protobuf'
import {FloatValueSchema} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import fc from 'fast-check'
import {writtenJson} from '../../src/transcoding/json/floats.ts'
import {buildSchema} from '../functions/gateway-schema.ts'

test('floats of every kind have no more digits than they need', (t) => {
  using schema = buildSchema({
    'floats.proto': `
      syntax = "proto3";
      package floats;
      import "google/protobuf/wrappers.proto";
      message Floats {
        float one = 1;
        optional float maybe = 2;
        repeated float many = 3;
        map<string, float> named = 4;
        oneof choice { float chosen = 5; google.protobuf.FloatValue wrapped_choice = 6; }
        google.protobuf.FloatValue wrapped = 7;
        repeated google.protobuf.FloatValue all_wrapped = 8;
        Floats inner = 9;
        map<string, Floats> inners = 10;
        double long = 11;
        string text = 12;
      }`,
  })
  const desc = schema.registry.getMessage('floats.Floats')!
  const sent: JsonValue = {
    one: 1.1,
    maybe: -0.3,
    many: [0.1, 16777216, 16777217000000000, 3.4028234663852886e38, 1.4013e-45, 123456.79, 'NaN', '-Infinity'],
    named: {a: 2.2},
    chosen: 3.3,
    wrapped: 4.4,
    allWrapped: [5.5, 6.6],
    inner: {one: 7.7, wrappedChoice: 8.8},
    inners: {b: {many: [9.9]}},
    long: 1.100000023841858,
    text: '1.100000023841858',
  }
  const received = fromBinary(desc, toBinary(desc, fromJson(desc, sent)))
  t.deepEqual(writtenJson(desc, received, {}), sent)
})

test('a written float is read as the same float, and has at most nine digits', (t) => {
  fc.assert(
    fc.property(fc.float({min: Math.fround(-3e38), max: Math.fround(3e38), noNaN: true}), (value) => {
      const written = writtenJson(FloatValueSchema, create(FloatValueSchema, {value}), {}) as number
      const digits = Math.abs(written)
        .toExponential()
        .replace(/e.*|\./g, '').length
      return Object.is(Math.fround(written), value) && digits <= 9
    }),
  )
  t.pass()
})
