import {create, type Message} from '@bufbuild/protobuf'
import {ConfigError} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {ContextField} from '../core/settings.ts'
import {assignmentOf, planOf as fieldPlan, put} from '../transcoding/fields/assign.ts'
import {ValueCount} from '../transcoding/value-count.ts'
import {hasValue, parameterOf} from './job.ts'
import type {Plan} from './plan.ts'

/** Facts about an object that can be put into a context. */
export interface ObjectFacts {
  readonly bucket: string
  readonly object: string
  readonly generation: string
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
}

/**
 * Makes the function that creates a context from the facts about an object. The function throws a Fault, INVALID_ARGUMENT, for missing
 * metadata, and for text that is malformed for its field.
 * @throws {ConfigError} for fields that the context does not have, and for required fields without a template
 */
export function contextMaker(
  {name, context, data, contextField, required}: Plan,
  fields: readonly ContextField[],
): (facts: ObjectFacts) => Message {
  const refuse = (why: string): never => {
    throw new ConfigError(`UPLOAD_CONTEXT: ${why}`)
  }
  const planned = fields.map(({field, template}) => {
    const path = parameterOf(context, field)
    if (!path || (!contextField && path.name === data.name))
      return refuse(`"${field}": expected a field of ${context.typeName} that text can set`)
    return {path, field, plan: fieldPlan(path), template}
  })
  const names = planned.map(({path}) => path.name)
  const twice = names.find((one, index) => names.indexOf(one) < index)
  if (twice) refuse(`"${twice}" is there twice`)
  for (const {name: path} of required) {
    if (!names.includes(path)) refuse(`"${path}" is missing, which ${name} needs`)
  }
  return (facts) => {
    const message = create(context)
    const count = new ValueCount()
    for (const {path, field, plan, template} of planned) {
      const text = filled(template, facts, field)
      if (text === '') continue
      const origin = {name: field, mayRepeat: false}
      put(message, path, assignmentOf(plan, text, origin, count).value, origin, count)
    }
    for (const path of required) {
      if (!hasValue(message, path)) throw Fault.invalid(path.name, `Field "${path.name}" of the context is empty`)
    }
    return message
  }
}

/** @throws {Fault} INVALID_ARGUMENT for metadata that the object does not have */
function filled(template: string, {metadata, ...facts}: ObjectFacts, field: string): string {
  return template.replace(/\{([^{}]+)\}/g, (_whole, name: string) => {
    const key = name.startsWith('metadata.') ? name.slice('metadata.'.length) : undefined
    if (key === undefined) return facts[name as keyof typeof facts]
    if (Object.hasOwn(metadata, key)) return metadata[key]!
    throw Fault.invalid(field, `The object has no metadata "${key}", which is needed for "${field}"`)
  })
}
