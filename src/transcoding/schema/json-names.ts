import {protoCamelCase} from '@bufbuild/protobuf/reflect'
import type {DescriptorProto} from '@bufbuild/protobuf/wkt'

/** Adds the default json_name, which is missing in sets from reflection servers in Python, C++ and Java, and in some of protoc's. */
export function addJsonNames(message: DescriptorProto): void {
  for (const field of message.field) field.jsonName ||= protoCamelCase(field.name)
  message.nestedType.forEach(addJsonNames)
}
