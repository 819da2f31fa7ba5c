import type {DescField, DescMessage, JsonValue} from '@bufbuild/protobuf'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {fieldsOf} from '../fields/fields.ts'
import {messageText} from '../fields/well-known.ts'
import {maxNesting} from '../json/text.ts'

/** The structure of a value: which parts a mask may name. */
type Shape =
  | {readonly kind: 'message'; readonly desc: DescMessage}
  | {readonly kind: 'list'; readonly items: Shape}
  | {readonly kind: 'map'; readonly values: Shape}
  /** JSON of any form: Struct, Value, ListValue, Any. */
  | {readonly kind: 'any'}
  | {readonly kind: 'scalar'}

/** The part of a mask that is about one value: all of it, or some of its parts. */
interface Node {
  isWhole: boolean
  /** By JSON name and proto name, or by the key of a map. */
  readonly parts: Map<string, Node>
  /** For each value of a map. */
  each: Node | undefined
}

/** Limit for the names in all paths of a mask together. */
const maxSteps = 1000

/**
 * A read mask: the fields of the answer that the caller asks for (AIP-157, AIP-161), such as `name,author.displayName`. `*` means all
 * items of a list or all keys of a map. Google's form `items(id,author/name)` is read as well.
 */
export class ReadMask {
  readonly #root: Node = newNode()

  /**
   * @param answer the message type or field that is the response body
   * @param name name of the parameter
   * @throws {Fault} 400 naming the parameter, for a path that is not in the answer
   */
  constructor(answer: DescMessage | DescField, text: string, name: string) {
    if (text.trim() === '') this.#root.isWhole = true
    else new Parser(text, name).read({node: this.#root, shape: shapeOf(answer)})
  }

  /** `json` reduced to the fields of the mask. */
  apply(json: JsonValue): JsonValue {
    return masked(json, this.#root)
  }
}

interface Place {
  readonly node: Node
  readonly shape: Shape
}

function newNode(): Node {
  return {isWhole: false, parts: new Map(), each: undefined}
}

/** `items`, a key of a map in backticks, or `*`. */
const segment = /\*|`[^`]*`|[\p{L}\p{N}_\-@]+/uy

class Parser {
  readonly #text: string
  readonly #name: string
  #at = 0
  #steps = 0

  constructor(text: string, name: string) {
    this.#text = text
    this.#name = name
  }

  read(root: Place): void {
    this.#paths(root, 1)
    if (this.#at < this.#text.length) this.#fail('"," or "."')
  }

  #paths(from: Place, level: number): void {
    if (level > maxNesting) this.#fail(`at most ${maxNesting} levels`)
    do {
      let place = this.#step(from)
      while (this.#takes('.') || this.#takes('/')) place = this.#step(place)
      if (!this.#takes('(')) place.node.isWhole = true
      else {
        this.#paths(place, level + 1)
        if (!this.#takes(')')) this.#fail('")"')
      }
    } while (this.#takes(','))
  }

  #takes(text: string): boolean {
    const isThere = this.#text.startsWith(text, this.#at)
    if (isThere) this.#at += text.length
    return isThere
  }

  #segment(): string {
    segment.lastIndex = this.#at
    const found = segment.exec(this.#text)?.[0] ?? this.#fail('a name')
    this.#at += found.length
    return found
  }

  #step(from: Place): Place {
    const segment = this.#segment()
    if (++this.#steps > maxSteps) this.#fail(`at most ${maxSteps} names`)
    const {node, shape} = segment === '*' ? from : intoItems(from)
    const key = segment.startsWith('`') ? segment.slice(1, -1) : segment
    switch (shape.kind) {
      case 'list':
        return {node, shape: shape.items}
      case 'map':
        return {node: segment === '*' ? eachOf(node) : partOf(node, key), shape: shape.values}
      case 'any':
        return {node: segment === '*' ? eachOf(node) : partOf(node, key), shape}
      case 'message':
        return this.#field(node, shape.desc, segment)
      case 'scalar':
        return this.#fail('nothing inside of a scalar')
    }
  }

  #field(node: Node, desc: DescMessage, segment: string): Place {
    if (segment === '*') return {node: eachOf(node), shape: scalar}
    const field = fieldsOf(desc).get(segment)
    if (!field) return this.#fail(`a field of ${desc.typeName}`)
    const part = partOf(node, field.jsonName)
    node.parts.set(field.name, part)
    return {node: part, shape: ofField(field)}
  }

  #fail(expected: string): never {
    throw Fault.invalid(this.#name, `Cannot use "${shortened(this.#name)}": expected ${expected}`, {
      callerOnly: `, at character ${this.#at} of "${shortened(this.#text)}"`,
    })
  }
}

function partOf(node: Node, name: string): Node {
  let part = node.parts.get(name)
  if (!part) {
    part = newNode()
    node.parts.set(name, part)
  }
  return part
}

function eachOf(node: Node): Node {
  node.each ??= newNode()
  return node.each
}

/** A path through a list goes into its items, with `*` or without. */
function intoItems({node, shape}: Place): Place {
  let inner = shape
  while (inner.kind === 'list') inner = inner.items
  return {node, shape: inner}
}

function shapeOf(answer: DescMessage | DescField): Shape {
  return answer.kind === 'message' ? ofMessage(answer) : ofField(answer)
}

function ofField(field: DescField): Shape {
  if (field.fieldKind === 'list') return {kind: 'list', items: field.message ? ofMessage(field.message) : scalar}
  if (field.fieldKind === 'map') return {kind: 'map', values: field.message ? ofMessage(field.message) : scalar}
  return field.fieldKind === 'message' ? ofMessage(field.message) : scalar
}

const scalar: Shape = {kind: 'scalar'}

/** Types whose JSON may have any structure. */
const free = new Set(['Any', 'Struct', 'Value', 'ListValue'].map((name) => `google.protobuf.${name}`))

function ofMessage(desc: DescMessage): Shape {
  if (free.has(desc.typeName)) return {kind: 'any'}
  return messageText(desc) ? scalar : {kind: 'message', desc}
}

function masked(json: JsonValue, node: Node): JsonValue {
  if (node.isWhole || typeof json !== 'object' || json === null) return json
  if (Array.isArray(json)) return json.map((item) => masked(item, node))
  const made: Record<string, JsonValue> = Object.create(null)
  for (const [key, value] of Object.entries(json)) {
    const part = node.parts.get(key)
    if (part && node.each) made[key] = merged(masked(value, part), masked(value, node.each))
    else if (part ?? node.each) made[key] = masked(value, (part ?? node.each)!)
  }
  return made
}

/** The union of what two masks have kept of the same value. */
function merged(one: JsonValue, other: JsonValue): JsonValue {
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return one
  if (Array.isArray(one)) return one.map((item, index) => merged(item, (other as JsonValue[])[index]!))
  const made: Record<string, JsonValue> = Object.assign(Object.create(null), other)
  for (const [key, value] of Object.entries(one)) made[key] = key in made ? merged(value, made[key]!) : value
  return made
}
