import type {DescMessage, DescMethod} from '@bufbuild/protobuf'
import type {Dialect} from '../../core/dialect.ts'
import {detail, Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {BadRequestSchema} from '../../gen/google/rpc/error_details_pb.js'
import {reachable} from '../fields/fields.ts'
import type {FieldName, MessageCheck, Validate, Violation} from './check.ts'
import {FieldBehavior} from './field-behavior.ts'

export interface CheckOptions {
  /** Whether requests are checked by `google.api.field_behavior`. */
  readonly fieldBehavior: boolean
  /** Another check, applied to each message type for which `isOn` is true or that contains such a type. */
  readonly other?: {readonly validate: Validate; isOn(desc: DescMessage): boolean} | undefined
  readonly fieldNames: Dialect['fieldNames']
}

/** Limit for the violations that one error names. */
const maxViolations = 100

/**
 * Gives the check for the requests of a method; undefined where the schema demands nothing. Each is made when it is first asked for,
 * because looking through a message decodes its file.
 */
export function checksOf({
  fieldBehavior,
  other,
  fieldNames,
}: CheckOptions): (method: DescMethod) => MessageCheck | undefined {
  const behavior = new FieldBehavior()
  const nameOf: FieldName = fieldNames === 'proto' ? ({name}) => name : ({jsonName}) => jsonName
  const checks = new Map<DescMessage, MessageCheck | undefined>()
  return ({input}) => {
    if (!checks.has(input)) {
      const inside = [...reachable(input)]
      const isBehaved = fieldBehavior && inside.some(FieldBehavior.isOn)
      const isOther = other !== undefined && inside.some(other.isOn)
      const check: MessageCheck = (message) => {
        const violations = isBehaved ? behavior.check(input, message, nameOf) : []
        if (isOther) violations.push(...other.validate(input, message, nameOf))
        if (violations.length > 0) throw invalid(violations)
      }
      checks.set(input, isBehaved || isOther ? check : undefined)
    }
    return checks.get(input)
  }
}

function invalid(violations: readonly Violation[]): Fault {
  const [first] = violations
  const more = violations.length > 1 ? `, and ${violations.length - 1} more` : ''
  const place = first!.field === '' ? 'the request' : `"${shortened(first!.field)}"`
  const fieldViolations = violations.slice(0, maxViolations).map(({field, description, reason}) => {
    return {field: shortened(field) || 'body', description: shortened(description), reason}
  })
  return new Fault('INVALID_ARGUMENT', `Cannot accept ${place}`, {
    // Rules that the schema's author wrote may quote the refused value.
    callerOnly: `: ${shortened(first!.description)}${more}`,
    details: [detail(BadRequestSchema, {fieldViolations})],
  })
}
