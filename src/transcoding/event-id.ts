import {type DescField, type DescMessage, type DescMethod, type Message, ScalarType} from '@bufbuild/protobuf'
import {hadAllEvents} from '../core/event-stream.ts'
import {nearest} from '../core/settings.ts'
import {type FieldPlan, planOf} from './fields/assign.ts'
import {type FieldPath, findField, isTextual, kindOf} from './fields/fields.ts'
import {isInteger, isLong} from './fields/scalars.ts'
import {fieldValue, jsonOfField} from './responses.ts'
import type {Binding} from './rules/bindings.ts'
import {decodePercent} from './rules/percent.ts'

/** Makes the events of one method resumable: one row of GATEWAY_EVENT_ID, not yet checked. */
export interface EventIdRule {
  /** `pkg.Service/Method` */
  readonly method: string
  /** The field of an answer that is its event's id; a path with dots. */
  readonly response: string
  /** The field of the request that receives the last id. */
  readonly request: string
}

/** How the events of one method are resumed. */
export interface Cursor {
  /** The id of an answer's event; empty for an answer without one, which leaves the client's last id as it is. */
  idOf(answer: Message): string
  /** The field of the request that says after which event to resume. */
  readonly after: FieldPlan
}

export interface Cursors {
  readonly byMethod: ReadonlyMap<DescMethod, Cursor>
  /** One line for each rule that cannot be used. */
  readonly problems: readonly string[]
}

/** `rules` for the methods of `bindings`, checked against their messages. */
export function cursorsOf(bindings: readonly Binding[], rules: readonly EventIdRule[]): Cursors {
  const byMethod = new Map<DescMethod, Cursor>()
  const problems: string[] = []
  for (const rule of rules) {
    try {
      const {method, cursor} = cursorOf(bindings, rule)
      if (byMethod.has(method)) throw new Error(`there is another row for ${rule.method}`)
      byMethod.set(method, cursor)
    } catch (error) {
      const {method, response, request} = rule
      problems.push(`GATEWAY_EVENT_ID="${method}=${response}:${request}": ${(error as Error).message}`)
    }
  }
  return {byMethod, problems}
}

function cursorOf(bindings: readonly Binding[], rule: EventIdRule): {method: DescMethod; cursor: Cursor} {
  const bound = bindings.filter(({method}) => `${method.parent.typeName}/${method.name}` === rule.method)
  const [method] = bound.map((binding) => binding.method)
  if (!method) throw new Error(`no method "${rule.method}" is served: ${suggestion(rule.method, bindings)}`)
  if (method.methodKind !== 'server_streaming') {
    throw new Error(`${rule.method} is ${kinds[method.methodKind]}: expected a server stream`)
  }
  const id = textual(method.output, rule.response)
  const after = planOf(textual(method.input, rule.request))
  const inPath = bound.find(({variables}) => variables.some(({name}) => name === after.name))
  if (inPath) throw new Error(`"${after.name}" is in the path of ${inPath.rule}: expected a field that may change`)
  const sample = sampleOf(id.field)
  if (sample !== undefined && after.read(sample) === undefined) {
    throw new Error(`"${after.name}" takes ${after.expected}: expected a field that takes what "${id.name}" holds`)
  }
  return {method, cursor: {idOf: (answer) => idOf(answer, method.output, id), after}}
}

function suggestion(name: string, bindings: readonly Binding[]): string {
  const streams = bindings.filter(({method}) => method.methodKind === 'server_streaming')
  const known = streams.map(({method}) => `${method.parent.typeName}/${method.name}`)
  return known.length > 0 ? `did you mean ${nearest(name, known)}?` : 'no server stream is'
}

const kinds = {unary: 'unary', client_streaming: 'a client stream', bidi_streaming: 'bidirectional'} as const

function textual(desc: DescMessage, path: string): FieldPath {
  const found = findField(desc, path)
  if ('problem' in found) throw new Error(`"${path}": ${found.problem}`)
  if (found.field.fieldKind === 'list' || !isTextual(found.field)) {
    throw new Error(`"${path}" is ${kindOf(found.field)}: expected a scalar, an enum or a type whose JSON is a string`)
  }
  return found
}

/** A text that `field` can hold, to try whether another field can hold it too. */
function sampleOf(field: DescField): string | undefined {
  if (field.enum) return field.enum.values[0]?.jsonName
  if (field.message) return messageSamples[field.message.typeName]
  if (!field.scalar || field.scalar === ScalarType.STRING) return undefined
  if (isLong(field.scalar)) return '9223372036854775807'
  if (isInteger(field.scalar)) return '2147483647'
  return {[ScalarType.BOOL]: 'true', [ScalarType.BYTES]: 'AA=='}[field.scalar as number] ?? '0.5'
}

const messageSamples: Readonly<Record<string, string>> = {
  'google.protobuf.Timestamp': '1970-01-01T00:00:00Z',
  'google.protobuf.Duration': '1s',
}

function idOf(answer: Message, desc: DescMessage, {parents, field}: FieldPath): string {
  let message: Message | undefined = answer
  for (const parent of parents) message = message && (fieldValue(message, parent) as Message | undefined)
  if (!message) return ''
  const json = jsonOfField(parents.at(-1)?.message ?? desc, message, field)
  return json === null ? '' : encoded(String(json))
}

/** Characters that a header cannot hold or would lose, and `%`, so that the encoding can be undone. */
const unsafe = /[^ -~]|%|^ | $/gu

/** `text` as an event's id, safe for a header. Unchanged where possible, and never equal to the id of an `end` event. */
function encoded(text: string): string {
  const id = text.toWellFormed().replace(unsafe, (char) => (char === ' ' ? '%20' : encodeURIComponent(char)))
  return hadAllEvents(id) ? id.replace(/;(?=[^;]*$)/, '%3B') : id
}

/** Decodes an event's id. @throws {Fault} 400 for an id that we cannot have sent */
export function cursorIn(lastEventId: string): string {
  return decodePercent(lastEventId, 'last-event-id')
}
