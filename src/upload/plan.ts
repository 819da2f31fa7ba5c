import {type DescMessage, ScalarType} from '@bufbuild/protobuf'
import {pathOf} from '../clients/call.ts'
import {ConfigError} from '../core/config.ts'
import {type FieldPath, findField, isPlainMessage, type MessageField} from '../transcoding/fields/fields.ts'
import type {UploadMethod, UploadOptions} from './options.ts'

/** The fields that an upload uses. They are looked up once, in the method's descriptor. */
export interface Plan {
  readonly method: UploadMethod
  /** The method's name for messages: `Repo/CreateRepo`. */
  readonly name: string
  readonly data: FieldPath
  /** The field for the context; undefined if the context is the request itself. */
  readonly contextField: MessageField | undefined
  readonly context: DescMessage
  readonly required: readonly FieldPath[]
  /** The field that a claim of the caller fills. */
  readonly creator: FieldPath | undefined
}

/** @throws {ConfigError} for a method that is not client-streaming or has no bytes field, and for names of missing fields */
export function planOf({method, data, context, required = [], creator}: UploadOptions): Plan {
  const name = pathOf(method).slice(1)
  const refuse = (why: string): never => {
    throw new ConfigError(`Cannot upload to ${name}: ${why}`)
  }
  if (method.methodKind !== 'client_streaming') refuse('expected a method that takes a stream and answers once')
  const named = (desc: DescMessage, path: string) => {
    const found = findField(desc, path)
    return 'problem' in found ? refuse(`"${path}": ${found.problem}`) : found
  }
  const {input} = method
  const contextField = context === undefined ? undefined : named(input, context).field
  if (contextField && (!isPlainMessage(contextField) || context?.includes('.'))) {
    return refuse(`"${context}": expected a message of ${input.typeName} for the context`)
  }
  const fields = bytesIn(input, contextField)
  if (data === undefined && fields.length !== 1) {
    refuse(`expected "data" to be one of ${fields.join(', ') || 'the fields of bytes, of which there are none'}`)
  }
  const bytes = named(input, data ?? fields[0]!)
  if (!isBytes(bytes.field)) refuse(`"${bytes.name}": expected a field of bytes`)
  if (bytes.parents.some(({delimitedEncoding}) => delimitedEncoding)) refuse(`"${bytes.name}" is inside a group`)
  const type = contextField?.message ?? input
  const creatorField = creator === undefined ? undefined : named(type, creator)
  if (creatorField && creatorField.field.scalar !== ScalarType.STRING) refuse(`"${creator}": expected a string`)
  return {
    method,
    name,
    data: bytes,
    contextField,
    context: type,
    required: required.map((path) => named(type, path)),
    creator: creatorField,
  }
}

/** The names of the bytes fields, including those of nested messages, but not those in `context`. */
function bytesIn({fields}: DescMessage, context?: MessageField): string[] {
  return fields.flatMap((field) => {
    if (isBytes(field)) return [field.name]
    if (field === context || !isPlainMessage(field)) return []
    return field.message.fields.filter(isBytes).map(({name}) => `${field.name}.${name}`)
  })
}

function isBytes(field: DescMessage['fields'][number]): boolean {
  return field.fieldKind === 'scalar' && field.scalar === ScalarType.BYTES
}
