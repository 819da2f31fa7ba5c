import type {DescField, DescMessage} from '@bufbuild/protobuf'
import {fieldsOf, isPlainMessage, isTextual} from '../fields/fields.ts'
import {isHttpBody} from '../requests.ts'
import type {Binding} from '../rules/bindings.ts'
import type {OneofChoice} from './document.ts'
import type {Closed} from './schemas.ts'

/** A field that one parameter of a query or form can set. */
export interface TextField {
  /** The JSON names from the message on: `book.displayName`. */
  name: string
  field: DescField
  oneofs: OneofChoice
}

/** Which fields of a message to list, and how deep. */
export interface Listing {
  closed: Closed
  /** The prefix of the message's own fields in the paths of `closed`. */
  prefix: string
  /** Whether fields of google.api.HttpBody count too, as files. */
  files: boolean
}

/** The fields that neither query nor form can set: those that the path sets, and other members of their oneofs. */
export function closedBy({variables, body}: Binding): Closed {
  const closed = new Set<string>()
  for (const {name, parents, field} of variables) {
    closed.add(name)
    closeOneofs(closed, [...parents, field])
  }
  if (body && body !== '*') closeOneofs(closed, [body])
  return closed
}

/**
 * The fields of `desc` that text can set, also in nested messages. A recursive message is entered once. The depth is at most five
 * names, or less to keep the list below a few hundred. A request may still set deeper fields.
 */
export function textFields(desc: DescMessage, listing: Listing): TextField[] {
  const fields = (deepest: number) => walk(desc, {...listing, deepest, name: '', oneofs: {}, above: []})
  for (let deepest = 5; deepest > 1; deepest--) {
    const found = fields(deepest)
      .take(most + 1)
      .toArray()
    if (found.length <= most) return found
  }
  return [...fields(1)]
}

const most = 300

interface Walk extends Listing {
  deepest: number
  name: string
  oneofs: OneofChoice
  above: readonly DescMessage[]
}

function* walk(desc: DescMessage, at: Walk): Generator<TextField> {
  if (at.above.includes(desc) || at.above.length >= at.deepest) return
  for (const field of desc.fields) {
    const path = at.prefix + field.name
    if (at.closed.has(path)) continue
    const key = nameIn(desc, field)
    const name = at.name + key
    const oneofs = field.oneof ? {...at.oneofs, [at.name + field.oneof.name]: key} : at.oneofs
    if (isTextual(field) || (at.files && isFile(field))) yield {name, field, oneofs}
    else if (isPlainMessage(field)) {
      yield* walk(field.message, {...at, prefix: `${path}.`, name: `${name}.`, oneofs, above: [...at.above, desc]})
    }
  }
}

/** Whether `field` holds one or many google.api.HttpBody: a file of a multipart form. */
export function isFile(field: DescField): boolean {
  return field.fieldKind !== 'map' && isHttpBody(field.message)
}

function closeOneofs(closed: Set<string>, path: readonly DescField[]): void {
  let prefix = ''
  for (const field of path) {
    for (const other of field.oneof?.fields ?? []) if (other !== field) closed.add(prefix + other.name)
    prefix += `${field.name}.`
  }
}

function nameIn(desc: DescMessage, field: DescField): string {
  return fieldsOf(desc).get(field.jsonName) === field ? field.jsonName : field.name
}
