import {createRequire} from 'node:module'
import type {DescMessage, FileRegistry} from '@bufbuild/protobuf'
import type {Path} from '@bufbuild/protobuf/reflect'
import type {GatewayConfig} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import type {FieldName, Validate} from '../transcoding/checks/check.ts'
import {type CheckOptions, checksOf} from '../transcoding/checks/checks.ts'

const require = createRequire(import.meta.url)

/** The field number of protovalidate's options: the same on fields, messages and oneofs. */
const optionNumber = 1159

/** Gives the checks of GATEWAY_VALIDATE for the request messages of each method, used by every protocol. */
export function validationOf(
  registry: FileRegistry,
  {validate, fieldNames}: Pick<GatewayConfig, 'validate' | 'fieldNames'>,
): ReturnType<typeof checksOf> {
  if (validate.length === 0) return () => undefined
  const other = validate.includes('protovalidate') ? {isOn, validate: protovalidate(registry)} : undefined
  return checksOf({
    fieldBehavior: validate.includes('field_behavior'),
    other,
    fieldNames,
  } satisfies CheckOptions)
}

function isOn({proto, fields, oneofs}: DescMessage): boolean {
  return [{proto}, ...fields, ...oneofs].some(({proto}) => proto.options?.$unknown?.some(({no}) => no === optionNumber))
}

/** Checks messages by protovalidate, which is loaded on first use. */
function protovalidate(registry: FileRegistry): Validate {
  let validator: import('@bufbuild/protovalidate').Validator | undefined
  return (desc, message, nameOf) => {
    validator ??= (require('@bufbuild/protovalidate') as typeof import('@bufbuild/protovalidate')).createValidator({
      registry,
    })
    const result = validator.validate(desc, message)
    if (result.kind === 'error') {
      throw new Fault('INTERNAL', `Cannot check a ${desc.typeName} by its rules`, {cause: result.error})
    }
    if (result.kind === 'valid') return []
    return result.violations.map(({field, message, ruleId, forKey}) => ({
      field: pathOf(field, nameOf),
      description: `${message || 'it is not valid'}${forKey ? ' (the key)' : ''}`,
      reason: reasonOf(ruleId),
    }))
  }
}

function pathOf(path: Path, nameOf: FieldName): string {
  return path.reduce((text, step) => {
    switch (step.kind) {
      case 'field':
        return `${text}${text && '.'}${nameOf(step)}`
      case 'oneof':
        return `${text}${text && '.'}${step.name}`
      case 'extension':
        return `${text}[${step.typeName}]`
      case 'list_sub':
        return `${text}[${step.index}]`
      case 'map_sub':
        return `${text}[${JSON.stringify(String(step.key))}]`
    }
    return text
  }, '')
}

const maxReason = 63

/**
 * Converts `string.min_len` to STRING_MIN_LEN, the form that error_details.proto prescribes: `[A-Z][A-Z0-9_]+[A-Z0-9]`, with at most
 * 63 characters.
 */
function reasonOf(ruleId: string): string {
  return ruleId
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, '_')
    .replace(/^[^A-Z]+/, '')
    .slice(0, maxReason)
    .replace(/_$/, '')
}
