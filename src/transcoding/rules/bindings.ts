import type {DescField, DescMessage, DescMethod, FileRegistry} from '@bufbuild/protobuf'
import type {Dialect} from '../../core/dialect.ts'
import {type FieldPlan, planOf} from '../fields/assign.ts'
import {type FieldPath, fieldProblems, findField, isTextual, kindOf, reachable} from '../fields/fields.ts'
import {type MaskField, updateMaskOf} from '../update-mask.ts'
import {Router} from './router.ts'
import {type Rule, rulesOf} from './rules.ts'
import {type SelectionOptions, selectMethods, type Unserved} from './selection.ts'
import {parseTemplate, type Template} from './templates.ts'

/** One HTTP rule of a method, checked and compiled. */
export interface Binding {
  method: DescMethod
  /** An HTTP method in capitals, or `*` for any. */
  httpMethod: string
  template: Template
  /** The field of each variable of the template, in their order. */
  variables: readonly FieldPlan[]
  /** What the body is: nothing, the whole message less what the path binds, or one field of it. */
  body: undefined | '*' | DescField
  /** The field that is the whole response; undefined for the message itself. */
  responseBody: DescField | undefined
  /** The field that is filled with what the body of a PATCH writes where the caller gives none; undefined: no field is. */
  updateMask: MaskField | undefined
  /** As a reader of the proto knows it: `get: "/v1/{name}"`. */
  rule: string
  /** Where a reader finds it: its file, and the method's full name. */
  place: string
}

export interface BindingOptions extends SelectionOptions {
  /** Which escapes stay in what a variable of many segments captures: `slash` unless given. */
  readonly pathDecoding?: Dialect['pathDecoding']
  /** Why a binding cannot be served where it is to be served; undefined: it can. */
  refuse?: ((binding: Binding) => string | undefined) | undefined
  /** Whether messages that cannot be read are a problem of the methods that have them, and not of the whole schema. */
  leaveOut?: boolean | undefined
  /** Whether a PATCH gets the update mask that its caller does not give: `fill` unless given. */
  updateMask?: 'fill' | 'off' | undefined
}

export interface Bindings {
  bindings: readonly Binding[]
  router: Router<Binding>
  /** The rules that `bindings` leaves out, a line each: proto file, method, rule and what is wrong with it. */
  problems: readonly string[]
  unserved: readonly Unserved[]
}

/** The bindings of the methods in `registry` that are served. */
export function readBindings(registry: FileRegistry, options: BindingOptions = {}): Bindings {
  const {methods, unserved} = selectMethods(registry, options)
  const withoutBinding: Unserved[] = []
  const bindings: Binding[] = []
  const router = new Router<Binding>(options.pathDecoding)
  const problems = unknownServices(registry, options.services)
  const unreadable = fieldProblems(registry)
  for (const {method, byDefault} of methods) {
    const report = (text: string, place = placeOf(method)) => void problems.push(`${place}: ${text}`)
    const before = bindings.length
    const rules = attempt(() => {
      if (unreadable.size > 0) refuseUnreadable(method, unreadable)
      return rulesOf(method, byDefault, options.rules)
    }, report)
    for (const rule of rules ?? []) {
      const reportRule = (text: string) => report(`${rule.text}: ${text}`, placeOf(method, rule.place))
      const binding = attempt(() => bind(method, rule, options), reportRule)
      if (!binding) continue
      const taken = router.add(binding)
      if (taken) reportRule(`takes the same requests as ${taken.rule} of ${taken.place}`)
      else bindings.push(binding)
    }
    if (bindings.length > before) continue
    const name = `${method.parent.typeName}/${method.name}`
    withoutBinding.push({name, why: rules?.length === 0 ? 'no rule' : 'unservable'})
  }
  return {bindings, router, problems, unserved: [...unserved, ...withoutBinding]}
}

function unknownServices(registry: FileRegistry, services: readonly string[] = []): string[] {
  return services
    .filter((name) => !registry.getService(name))
    .map((name) => `Cannot serve "${name}": no proto file has a service of this full name`)
}

/** Where a reader finds the rules of `method`: the file that they are in, and its full name. */
function placeOf(method: DescMethod, file = `${method.parent.file.name}.proto`): string {
  return `${file}: ${method.parent.typeName}/${method.name}`
}

function attempt<T>(make: () => T, report: (text: string) => void): T | undefined {
  try {
    return make()
  } catch (error) {
    report((error as Error).message)
    return undefined
  }
}

function bind(method: DescMethod, rule: Rule, {updateMask = 'fill', refuse}: BindingOptions): Binding {
  const template = parseTemplate(rule.path)
  const variables = template.variables.map(({path}) => planOf(variableField(method.input, path)))
  const body = rule.body === '*' ? '*' : topLevel(method.input, rule.body, 'body')
  refuseOverlaps(variables, body)
  const {httpMethod} = rule
  const binding: Binding = {
    method,
    httpMethod,
    template,
    variables,
    body,
    updateMask: updateMask === 'fill' ? updateMaskOf({httpMethod, method, body, variables}) : undefined,
    responseBody: topLevel(method.output, rule.responseBody, 'response_body'),
    rule: rule.text,
    place: placeOf(method, rule.place),
  }
  const why = refuse?.(binding)
  if (why !== undefined) throw new Error(why)
  return binding
}

/** @throws {Error} for messages with fields that cannot be read or written as they are named */
function refuseUnreadable({input, output}: DescMethod, unreadable: ReadonlyMap<DescMessage, readonly string[]>): void {
  const lines = [...reachable(output, reachable(input))].flatMap((message) => unreadable.get(message) ?? [])
  if (lines.length > 0) throw new Error(lines.join('; '))
}

function variableField(input: DescMessage, path: string): FieldPath {
  const found = findField(input, path)
  if ('problem' in found) throw new Error(`"{${path}}": ${found.problem}`)
  const {field} = found
  if (field.fieldKind === 'list' || !isTextual(field)) {
    throw new Error(`"{${path}}" is ${kindOf(field)}: expected a scalar, an enum or a type whose JSON is a string`)
  }
  return found
}

function topLevel(message: DescMessage, name: string, option: string): DescField | undefined {
  if (name === '') return undefined
  const field = message.fields.find((candidate) => candidate.name === name)
  if (!field) throw new Error(`${option}: "${name}": ${message.typeName} has no field "${name}"`)
  return field
}

/** Fields that no request can set together: one of them would always be refused. */
function refuseOverlaps(variables: readonly FieldPlan[], body: Binding['body']): void {
  for (const [index, variable] of variables.entries()) {
    const first = variable.parents[0] ?? variable.field
    if (body === variable.field) throw new Error(`"{${variable.name}}" is the body as well`)
    if (body && body !== '*' && body !== first && body.oneof && body.oneof === first.oneof) {
      throw new Error(`"{${variable.name}}" and body "${body.name}" are of one oneof, "${body.oneof.name}"`)
    }
    const other = variables.slice(0, index).find((earlier) => overlaps(earlier, variable))
    if (other) throw new Error(`"{${other.name}}" and "{${variable.name}}" exclude each other`)
  }
}

function overlaps(left: FieldPath, right: FieldPath): boolean {
  const one = [...left.parents, left.field]
  const two = [...right.parents, right.field]
  const fork = one.findIndex((field, index) => field !== two[index])
  if (fork < 0) return true
  const oneof = one[fork]?.oneof
  return oneof !== undefined && oneof === two[fork]?.oneof
}
