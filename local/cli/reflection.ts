import {BinaryReader, WireType} from '@bufbuild/protobuf/wire'

/** The names in the list_services_response of a ServerReflectionResponse; undefined where it is another one. */
export function servicesIn(response: Uint8Array): string[] | undefined {
  const [list] = fieldsOf(response, 6)
  return (
    list && fieldsOf(list, 1).flatMap((service) => fieldsOf(service, 1).map((name) => Buffer.from(name).toString()))
  )
}

/** The values of a field of bytes, of a text or of a message. */
function fieldsOf(message: Uint8Array, number: number): Uint8Array[] {
  const reader = new BinaryReader(message)
  const found: Uint8Array[] = []
  while (reader.pos < reader.len) {
    const [no, wireType] = reader.tag()
    if (no === number && wireType === WireType.LengthDelimited) found.push(reader.bytes())
    else reader.skip(wireType, no)
  }
  return found
}
