import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'

/**
 * System parameters: query parameters about the request as a whole rather than one of its fields.
 * @see https://cloud.google.com/apis/docs/system-parameters
 */
export interface SystemParameters {
  /** Format of the answer; by the header Accept unless given. */
  alt?: 'json' | 'sse' | 'media'
  /** Whether enums are written as numbers. */
  enumAsInteger?: boolean
  /** Whether JSON is indented. */
  prettyPrint?: boolean
  /** The read mask for the answer, as text, and the name of the parameter that it came in. */
  fields?: {readonly text: string; readonly name: string}
}

/** Sets the system parameter from its text. @throws {Fault} 400 naming the parameter */
export type SystemParameter = (system: SystemParameters, text: string, name: string) => void

/** Accepted and ignored: quota and billing belong to the front end, a key is no credential here, the error format is configured. */
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

/** The parameter for a reserved name such as `$fields`; undefined for any other name. */
export function reservedParameter(name: string): SystemParameter | undefined {
  return name.startsWith('$') ? parameters.get(name.slice(1)) : undefined
}

/** The parameter for a name such as `fields`, for requests that have no field of this name. */
export function freeParameter(name: string): SystemParameter | undefined {
  return name.startsWith('.') ? undefined : parameters.get(name)
}

function readAlt(system: SystemParameters, text: string, name: string): void {
  const [, alt, encoding] = /^(json|sse|media)(;enum-encoding=int)?$/.exec(text) ?? []
  if (!alt) throw refused(name, text, '"json", "sse" or "media", followed by ";enum-encoding=int" for enums as numbers')
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
