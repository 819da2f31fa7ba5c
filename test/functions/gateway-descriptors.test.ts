import {readFileSync, writeFileSync} from 'node:fs'
import {clearField, fromBinary, toBinary} from '@bufbuild/protobuf'
import {type DescriptorProto, FieldDescriptorProtoSchema, FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {servedSchema} from './gateway-schema.ts'
import {startServed} from './gateway-services.ts'

const json = {'content-type': 'application/json'}

test('a set from server reflection, without JSON names and in another order, is served with names', async (t) => {
  using reflected = servedSchema()
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(reflected.path))
  const strip = (message: DescriptorProto) => {
    for (const field of message.field) clearField(field, FieldDescriptorProtoSchema.field.jsonName)
    message.nestedType.forEach(strip)
  }
  for (const {messageType} of set.file.reverse()) messageType.forEach(strip)
  writeFileSync(reflected.path, toBinary(FileDescriptorSetSchema, set))
  const app = await startServed({env: {GATEWAY_DESCRIPTORS: reflected.path}})
  t.teardown(() => app.close())
  const sent = {int64Value: '5', labels: {a: 'b'}, child: {longId: '6'}, boolWrapper: false}
  const whole = await app.send('POST /whole', {headers: json, body: JSON.stringify(sent)})
  t.deepEqual(whole.json, sent)
  t.deepEqual((await app.send('GET /whole?int32Value=1&child.long_id=2')).json, {int32Value: 1, child: {longId: '2'}})
  const document = await app.send('GET /openapi.json')
  t.deepEqual(Object.keys(document.json.components.schemas['every.Child'].properties).slice(0, 3), [
    'name',
    'age',
    'longId',
  ])
})
