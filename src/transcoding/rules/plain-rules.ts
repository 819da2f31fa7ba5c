import {FieldDescriptorProto_Label as Label, FieldDescriptorProto_Type as Type} from '@bufbuild/protobuf/wkt'
import {maxNesting} from '../json/text.ts'
import type {LazyMethod, LazyRegistry} from '../schema/lazy-registry.ts'
import type {FieldFacts} from '../schema/outline.ts'
import type {Rule} from './rules.ts'
import type {Template} from './templates.ts'

/**
 * Whether it is certain, without decoding a message, that the fields of a rule exist and can be bound together. For a rule with an error,
 * and for unusual ones, it is not.
 */
export function isPlainRule(
  {registry, outline}: LazyMethod,
  {variables}: Template,
  {body, responseBody}: Rule,
): boolean {
  const {input, output} = outline
  if (!variables.every(({path}) => path !== body && isPlainScalar(registry, input, path))) return false
  if (body !== '' && body !== '*' && !isFree(registry.fieldOf(input, body))) return false
  return responseBody === '' || registry.fieldOf(output, responseBody) !== undefined
}

/** Whether `path` leads to a scalar or an enum, without passing a oneof. */
function isPlainScalar(registry: LazyRegistry, message: string, path: string): boolean {
  const names = path.split('.')
  if (names.length > maxNesting) return false
  let inside = message
  for (const [index, name] of names.entries()) {
    const field = registry.fieldOf(inside, name)
    if (!isFree(field) || field.label === Label.REPEATED) return false
    const isLast = index === names.length - 1
    if (isLast !== (field.type !== Type.MESSAGE && field.type !== Type.GROUP)) return false
    // Some of these have a form of their own in JSON.
    if (field.typeName.startsWith('google.protobuf.')) return isLast
    inside = field.typeName
  }
  return true
}

/** Whether a field is there, and in no oneof. */
function isFree(field: FieldFacts | undefined): field is FieldFacts {
  return field !== undefined && (field.oneof < 0 || field.isOptional)
}
