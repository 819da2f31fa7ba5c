import {type DescMethod, fromBinary, getOption} from '@bufbuild/protobuf'
import {BinaryReader} from '@bufbuild/protobuf/wire'
import {optionFields} from '../../core/option-fields.ts'
import {http} from '../../gen/google/api/annotations_pb.js'
import {type HttpRule, HttpRuleSchema} from '../../gen/google/api/http_pb.js'
import {LazyMethod} from '../schema/lazy-registry.ts'
import {certain, refuse, type WireReader} from '../schema/wire-reader.ts'

/** One HTTP rule of a method, not yet checked. */
export interface Rule {
  /** An HTTP method in capitals, or `*` for any. */
  httpMethod: string
  path: string
  /** Empty for none, `*`, or a field. */
  body: string
  /** Empty for the whole message, or a field. */
  responseBody: string
  /** The rule as the proto writes it: `get: "/v1/{name}"`. */
  text: string
  /** Its source, if it is not in the method's proto: `api.yaml, line 12`. */
  place?: string | undefined
}

/** Rules that replace those of the protos, by `package.Service/Method`, each with its source. */
export type GivenRules = ReadonlyMap<string, {readonly rule: HttpRule; readonly place: string}>

/**
 * The rules of `method`: the given one or its google.api.http option, and their additional_bindings, one level deep (http.proto).
 * A method without a rule has `POST /<package.Service>/<Method>` if `byDefault` (our decision), or else none.
 * @throws {Error} for a malformed rule
 */
export function rulesOf(method: DescMethod, byDefault: boolean, given?: GivenRules): Rule[] {
  const own = given?.get(`${method.parent.typeName}/${method.name}`)
  if (own) return rulesIn(own.rule).map((rule) => ({...rule, place: own.place}))
  const plain = method instanceof LazyMethod && plainRuleOf(method)
  if (plain) return [plain]
  const option = optionOf(method)
  if (!option) return byDefault ? [defaultRule(method)] : []
  return rulesIn(option)
}

/** The google.api.http option, found by its bytes: that takes a quarter of the time for schemas with thousands of methods. */
function optionOf(method: DescMethod): HttpRule | undefined {
  const found = optionFields(method, http.number)
  if (found.length > 1) return getOption(method, http)
  const [field] = found
  return field && fromBinary(HttpRuleSchema, new BinaryReader(field.data).bytes())
}

/** The HTTP methods by the numbers of their patterns in google.api.HttpRule. */
const patterns: ReadonlyMap<number, string> = new Map([
  [2, 'get'],
  [3, 'put'],
  [4, 'post'],
  [5, 'delete'],
  [6, 'patch'],
])
const bodyNumber = 7

/** Other text may be malformed, which only decoding finds out. */
const beyondAscii = /[\x80-\uffff]/

/**
 * The google.api.http option of a method, read without decoding it. Undefined for all but the most frequent form: one pattern, and
 * perhaps a body.
 */
function plainRuleOf({registry: {reader}, outline}: LazyMethod): Rule | undefined {
  const {optionsStart, optionsEnd} = outline
  return certain(() => {
    let rule: Rule | undefined
    reader.at = optionsStart
    for (let no = reader.field(optionsEnd); no !== 0; no = reader.field(optionsEnd)) {
      if (no !== http.number) reader.skip(optionsEnd)
      else if (rule) refuse()
      else rule = ruleUpTo(reader.end(optionsEnd), reader)
    }
    return rule
  })
}

function ruleUpTo(end: number, reader: WireReader): Rule {
  let pattern: string | undefined
  let path = ''
  let body = ''
  for (let no = reader.field(end); no !== 0; no = reader.field(end)) {
    const isBody = no === bodyNumber
    if (!isBody && (pattern !== undefined || !patterns.has(no))) refuse()
    const text = reader.text(end)
    if (beyondAscii.test(text)) refuse()
    if (isBody) body = text
    else {
      pattern = patterns.get(no)
      path = text
    }
  }
  if (pattern === undefined) refuse()
  return {httpMethod: pattern.toUpperCase(), path, body, responseBody: '', text: `${pattern}: "${path}"`}
}

function rulesIn(rule: HttpRule): Rule[] {
  for (const additional of rule.additionalBindings) {
    if (additional.additionalBindings.length > 0) {
      throw new Error('additional_bindings inside additional_bindings: they go one level deep')
    }
  }
  return [rule, ...rule.additionalBindings].map(readRule)
}

function readRule(rule: HttpRule): Rule {
  const {pattern, body} = rule
  const responseBody = responseBodyOf(rule)
  if (pattern.case === undefined) {
    throw new Error('google.api.http has no pattern: expected get, put, post, delete, patch or custom')
  }
  if (pattern.case === 'custom') {
    const {kind, path} = pattern.value
    if (!/^(?:\*|[A-Za-z][A-Za-z-]*)$/.test(kind)) {
      throw new Error(`custom kind "${kind}" is no HTTP method: expected a name such as "HEAD", or "*"`)
    }
    const text = `custom: {kind: "${kind}", path: "${path}"}`
    return {httpMethod: kind.toUpperCase(), path, body, responseBody, text}
  }
  const text = `${pattern.case}: "${pattern.value}"`
  return {httpMethod: pattern.case.toUpperCase(), path: pattern.value, body, responseBody, text}
}

function defaultRule(method: DescMethod): Rule {
  const path = `/${method.parent.typeName}/${method.name}`
  return {httpMethod: 'POST', path, body: '*', responseBody: '', text: `post: "${path}" (by default)`}
}

/** response_body, also if an old http.proto does not declare it, as in some packages. It is an unknown field then. */
function responseBodyOf(rule: HttpRule & {responseBody?: string}): string {
  if (rule.responseBody !== undefined) return rule.responseBody
  const field = rule.$unknown?.findLast(({no}) => no === responseBodyNumber)
  return field ? new BinaryReader(field.data).string() : ''
}

const responseBodyNumber = 12
