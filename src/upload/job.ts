import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  isFieldSet,
  type Message,
} from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt'
import {Fault} from '../core/fault.ts'
import {assignmentOf, planOf, put} from '../transcoding/fields/assign.ts'
import {type FieldPath, findField, isTextual} from '../transcoding/fields/fields.ts'
import {messageFromJson} from '../transcoding/json/message.ts'
import {ValueCount} from '../transcoding/value-count.ts'
import type {Plan} from './plan.ts'

/** A request for the upload of a Storage object. */
export interface Job {
  readonly bucket: string
  readonly object: string
  /** The generation; the live one if undefined. */
  readonly generation: string | undefined
  readonly context: Message
}

type JobMessage = Message & {bucket: string; object: string; generation?: bigint; context?: Message}

/**
 * Makes the decoder of `{"bucket", "object", "generation"?, "context": {…}}`, in which the context is the JSON of its message. The
 * decoder throws a Fault, 400, that names the malformed or missing field.
 */
export function jobReader(plan: Plan): (body: Uint8Array, creator?: string) => Job {
  const {context, required, data, contextField} = plan
  const schema = schemaWith(context)
  return (body, creator) => {
    const {bucket, object, generation, context: sent} = messageFromJson(schema, body) as JobMessage
    for (const [field, value] of Object.entries({bucket, object})) if (!value) throw missing(field)
    const given = sent ?? create(context)
    if (!contextField && isSet(given, data)) {
      throw Fault.invalid(`context.${data.name}`, `Cannot set "context.${data.name}": the object's bytes go there`)
    }
    setCreator(plan, given, creator)
    for (const path of required) if (!hasValue(given, path)) throw missing(`context.${jsonPath(path)}`)
    return {bucket, object, generation: generation?.toString(), context: given}
  }
}

/**
 * Reads the context from the query, for a body that is itself uploaded. Other parameters are ignored.
 * @throws {Fault} 400 that names the malformed or missing parameter
 */
export function contextFromQuery(plan: Plan, query: URLSearchParams, creator?: string): Message {
  const {context, required, data, contextField} = plan
  const message = create(context)
  const count = new ValueCount()
  for (const [name, text] of query) {
    count.add(1)
    const path = parameterOf(context, name)
    if (!path || !text || (!contextField && path.name === data.name)) continue
    const origin = {name, mayRepeat: false}
    if (path.field.fieldKind !== 'list' && isSet(message, path)) continue
    put(message, path, assignmentOf(planOf(path), text, origin, count).value, origin, count)
  }
  setCreator(plan, message, creator)
  for (const path of required) {
    if (hasValue(message, path)) continue
    const name = jsonPath(path)
    throw Fault.invalid(
      name,
      `Parameter "${name}" is missing: a body that is not JSON is uploaded unchanged, and its context must be in the query`,
    )
  }
  return message
}

/** Sets the creator of `message` to the caller. @throws {Fault} 403 when `message` names another creator */
function setCreator({creator: path}: Plan, message: Message, creator: string | undefined): void {
  if (!path || creator === undefined) return
  if (hasValue(message, path) && valueAt(message, path) !== creator) {
    throw new Fault('PERMISSION_DENIED', `Field "${jsonPath(path)}" names another creator than the caller`, {
      reason: 'CREATOR_NOT_CALLER',
      hint: 'UPLOAD_CREATOR takes it from the caller',
    })
  }
  put(message, path, creator, {name: jsonPath(path), mayRepeat: true}, new ValueCount())
}

/** The field of the context that a query parameter sets. */
export function parameterOf(context: DescMessage, name: string): FieldPath | undefined {
  const found = findField(context, name)
  return 'problem' in found || !isTextual(found.field) ? undefined : found
}

/** The type `{bucket, object, generation, context}` with the given type of `context`. It is in no proto. */
function schemaWith({typeName, file}: DescMessage): DescMessage {
  const {STRING, INT64, MESSAGE} = FieldDescriptorProto_Type
  const field = (number: number, name: string, more: object) =>
    create(FieldDescriptorProtoSchema, {
      number,
      name,
      jsonName: name,
      label: FieldDescriptorProto_Label.OPTIONAL,
      ...more,
    })
  const job = create(FileDescriptorProtoSchema, {
    name: 'upload/job.proto',
    syntax: 'proto3',
    dependency: [file.proto.name],
    messageType: [
      {
        name: 'UploadJob',
        oneofDecl: [{name: '_generation'}],
        field: [
          field(1, 'bucket', {type: STRING}),
          field(2, 'object', {type: STRING}),
          field(3, 'generation', {type: INT64, proto3Optional: true, oneofIndex: 0}),
          field(4, 'context', {type: MESSAGE, typeName: `.${typeName}`}),
        ],
      },
    ],
  })
  return createFileRegistry(job, (name) => (name === file.proto.name ? file : undefined)).getMessage('UploadJob')!
}

/** Whether the field has a value that is not empty. */
export function hasValue(message: Message, path: FieldPath): boolean {
  return isSet(message, path) && valueAt(message, path) !== ''
}

function isSet(message: Message, {parents, field}: FieldPath): boolean {
  const target = parents.reduce<Message | undefined>(
    (parent, field) => (parent && isFieldSet(parent, field) ? (fieldOf(parent, field) as Message) : undefined),
    message,
  )
  return target !== undefined && isFieldSet(target, field)
}

function valueAt(message: Message, {parents, field}: FieldPath): unknown {
  return fieldOf(
    parents.reduce((parent, field) => fieldOf(parent, field) as Message, message),
    field,
  )
}

function fieldOf(message: Message, {oneof, localName}: DescField): unknown {
  const fields = message as unknown as Record<string, unknown>
  return oneof ? (fields[oneof.localName] as {value: unknown}).value : fields[localName]
}

/** The path in JSON names, as callers write it. */
export function jsonPath({parents, field}: FieldPath): string {
  return [...parents, field].map(({jsonName}) => jsonName).join('.')
}

function missing(field: string): Fault {
  return Fault.invalid(field, `Field "${field}" is missing`)
}
