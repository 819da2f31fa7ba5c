import {type DescMessage, isFieldSet, type Message} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {reachable} from './fields.ts'

/**
 * Refuses a message that cannot be sent because a required field of proto2 is not set.
 * @throws {Fault} 400 naming the field.
 */
export function refuseMissing(desc: DescMessage, message: Message, path = ''): void {
  if (!hasRequired(desc)) return
  for (const field of desc.fields) {
    const place = `${path}${field.name}`
    const set = isFieldSet(message, field)
    if (field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED && !set) {
      throw Fault.invalid(place, `Cannot accept "${shortened(place)}": the field is required`)
    }
    if (!set || !field.message) continue
    for (const [key, child] of children(message, field)) refuseMissing(field.message, child, `${place}${key}.`)
  }
}

function children(message: Message, field: DescMessage['fields'][number]): [string, Message][] {
  const fields = message as unknown as Record<string, unknown>
  if (field.oneof) return [['', (fields[field.oneof.localName] as {value: Message}).value]]
  const value = fields[field.localName]
  if (field.fieldKind === 'message') return [['', value as Message]]
  return Object.entries(value as Record<string, Message>).map(([key, child]) => [`[${key}]`, child])
}

const known = new WeakMap<DescMessage, boolean>()

/** Whether `desc`, or a message that it can contain, has a required field. */
function hasRequired(desc: DescMessage): boolean {
  let answer = known.get(desc)
  if (answer === undefined) {
    answer = [...reachable(desc)].some(({fields}) =>
      fields.some((field) => field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED),
    )
    known.set(desc, answer)
  }
  return answer
}
