import {create, createFileRegistry, type DescService, type Message} from '@bufbuild/protobuf'
import {FieldDescriptorProto_Label, FieldDescriptorProto_Type, FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'

/** Request and response of the methods of `test.Kinds`: a number, and bytes to make the message large. */
export type Numbered = Message<'test.Numbered'> & {value: number; filler: Uint8Array}

const label = FieldDescriptorProto_Label.OPTIONAL
const types = {inputType: '.test.Numbered', outputType: '.test.Numbered'}

/** The schema of `test.Kinds`. */
export const kindsFiles = create(FileDescriptorSetSchema, {
  file: [
    {
      name: 'test/kinds.proto',
      package: 'test',
      syntax: 'proto3',
      messageType: [
        {
          name: 'Numbered',
          field: [
            {name: 'value', jsonName: 'value', number: 1, type: FieldDescriptorProto_Type.INT32, label},
            {name: 'filler', jsonName: 'filler', number: 2, type: FieldDescriptorProto_Type.BYTES, label},
          ],
        },
      ],
      service: [
        {
          name: 'Kinds',
          method: [
            {name: 'One', ...types},
            {name: 'Up', ...types, clientStreaming: true},
            {name: 'Down', ...types, serverStreaming: true},
            {name: 'Both', ...types, clientStreaming: true, serverStreaming: true},
          ],
        },
      ],
    },
  ],
})

/** `test.Kinds`, with a method of each kind: One, Up (client stream), Down (server stream) and Both. */
export const Kinds: DescService = createFileRegistry(kindsFiles).getService('test.Kinds')!
