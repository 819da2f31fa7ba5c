import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'

/**
 * What a query says of the request as a whole rather than of a field of it.
 * @see https://cloud.google.com/apis/docs/system-parameters
 */
export interface SystemParameters {
  /** How the answer is written; as Accept says unless given. */
  alt?: 'json' | 'sse' | 'media'
  /** Whether enums are numbers. */
  enumAsInteger?: boolean
  /** Whether JSON is written for readers. */
  prettyPrint?: boolean
  /** Which fields of the answer are asked for, as it is written, and in which parameter. */
  fields?: {readonly text: string; readonly name: string}
}

/** A system parameter: sets what it says. @throws {Fault} 400 naming the parameter */
export type SystemParameter = (system: SystemParameters, text: string, name: string) => void

/** Quota and billing are the front end's affair, a key no credential here; the shape of errors is ours. */
const dropped: SystemParameter = () => {}

const parameters: ReadonlyMap<string, SystemParameter> = new Map(
  Object.entries({
    alt: readAlt,
    fields: (system: SystemParameters, text: string, name: string) => {
      system.fields = {text, name}
    },
    prettyPrint: readPrettyPrint,
    key: dropped,
    quotaUser: dropped,
    userProject: dropped,
    '.xgafv': dropped,
  }),
)

/** The parameter that `name` always means: `$fields`; undefined for any other name. */
export function reservedParameter(name: string): SystemParameter | undefined {
  return name.startsWith('$') ? parameters.get(name.slice(1)) : undefined
}

/** The parameter that `name` means where the request has no such field: `fields`. */
export function freeParameter(name: string): SystemParameter | undefined {
  return name.startsWith('.') ? undefined : parameters.get(name)
}

function readAlt(system: SystemParameters, text: string, name: string): void {
  const [, alt, encoding] = /^(json|sse|media)(;enum-encoding=int)?$/.exec(text) ?? []
  if (!alt)
    throw refused(name, text, '"json", "sse" or "media", and ";enum-encoding=int" behind it for enums as numbers')
  system.alt = alt as 'json' | 'sse' | 'media'
  if (encoding) system.enumAsInteger = true
}

function readPrettyPrint(system: SystemParameters, text: string, name: string): void {
  if (text !== 'true' && text !== 'false') throw refused(name, text, 'true or false')
  system.prettyPrint = text === 'true'
}

function refused(name: string, text: string, expected: string): Fault {
  return Fault.invalid(name, `Cannot use "${shortened(name)}": expected ${expected}`, {
    callerOnly: `, got "${shortened(text)}"`,
  })
}
