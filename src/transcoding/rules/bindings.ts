import type {DescField, DescMessage, DescMethod, FileRegistry} from '@bufbuild/protobuf'
import type {Dialect} from '../../core/dialect.ts'
import {type FieldPlan, planOf} from '../fields/assign.ts'
import {type FieldPath, fieldProblems, findField, isTextual, kindOf, reachable} from '../fields/fields.ts'
import {LazyMethod} from '../schema/lazy-registry.ts'
import {type MaskField, updateMaskOf} from '../update-mask.ts'
import {isPlainRule} from './plain-rules.ts'
import {Router} from './router.ts'
import {routingOf} from './routing-rule.ts'
import {type Rule, rulesOf} from './rules.ts'
import {type SelectionOptions, selectMethods, type Unserved} from './selection.ts'
import {parseTemplate, type Template} from './templates.ts'

/** One HTTP rule of a method, checked and compiled. */
export interface Binding {
  method: DescMethod
  /** An HTTP method in capitals, or `*` for any. */
  httpMethod: string
  template: Template
  /** The field of each variable of the template, in the same order. */
  variables: readonly FieldPlan[]
  /** What the body sets: nothing, the whole message except for the path's fields, or one field. */
  body: undefined | '*' | DescField
  /** The field that is the whole response; undefined for the message itself. */
  responseBody: DescField | undefined
  /** The mask that is filled with the fields in the body of a PATCH, if the caller gives none; undefined if no field is filled. */
  updateMask: MaskField | undefined
  /** The rule as the proto writes it: `get: "/v1/{name}"`. */
  rule: string
  /** Its source: the file, and the method's full name. */
  place: string
}

export interface BindingOptions extends SelectionOptions {
  /** Which escapes are kept in the capture of a multi-segment variable: `slash` unless given. */
  readonly pathDecoding?: Dialect['pathDecoding']
  /** Gives the reason why this server cannot serve a binding; undefined if it can. */
  refuse?: ((binding: Binding) => string | undefined) | undefined
  /** Whether unreadable messages exclude only the methods that use them, rather than the whole schema. */
  leaveOut?: boolean | undefined
  /** Whether a missing update mask of a PATCH is filled in: `fill` unless given. */
  updateMask?: 'fill' | 'off' | undefined
}

export interface Bindings {
  bindings: readonly Binding[]
  router: Router<Binding>
  /** The rules that are not in `bindings`, one line each: proto file, method, rule, and what is wrong. */
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
      const rules = rulesOf(method, byDefault, options.rules)
      if (rules.length > 0) routingOf(method)
      return rules
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

/** The source of the rules of `method`: their file, and the method's full name. */
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

/** @throws {Error} for a rule that does not fit the messages of its method, and for one that is refused */
function bind(method: DescMethod, rule: Rule, {updateMask = 'fill', refuse}: BindingOptions): Binding {
  const binding = new RuleBinding(method, rule, updateMask)
  if (!(method instanceof LazyMethod && isPlainRule(method, binding.template, rule))) binding.compile()
  const why = refuse?.(binding)
  if (why !== undefined) throw new Error(why)
  return binding
}

type Fields = Pick<Binding, 'variables' | 'body' | 'responseBody' | 'updateMask'>

/** A binding whose fields are looked up when they are first asked for: an instance gets requests for only a few of its methods. */
class RuleBinding implements Binding {
  readonly method: DescMethod
  readonly template: Template
  readonly #rule: Rule
  readonly #updateMask: 'fill' | 'off'
  #fields: Fields | undefined

  /** @throws {Error} for a malformed template */
  constructor(method: DescMethod, rule: Rule, updateMask: 'fill' | 'off') {
    this.method = method
    this.template = parseTemplate(rule.path)
    this.#rule = rule
    this.#updateMask = updateMask
  }

  get httpMethod() {
    return this.#rule.httpMethod
  }

  get rule() {
    return this.#rule.text
  }

  get place() {
    return placeOf(this.method, this.#rule.place)
  }

  get variables() {
    return this.compile().variables
  }

  get body() {
    return this.compile().body
  }

  get responseBody() {
    return this.compile().responseBody
  }

  get updateMask() {
    return this.compile().updateMask
  }

  /** @throws {Error} for fields that the messages do not have, or that cannot be bound */
  compile(): Fields {
    this.#fields ??= this.#find()
    return this.#fields
  }

  #find(): Fields {
    const {method, httpMethod} = this
    const {input, output} = method
    const variables = this.template.variables.map(({path}) => planOf(variableField(input, path)))
    const body = this.#rule.body === '*' ? '*' : topLevel(input, this.#rule.body, 'body')
    refuseOverlaps(variables, body)
    return {
      variables,
      body,
      updateMask: this.#updateMask === 'fill' ? updateMaskOf({httpMethod, method, body, variables}) : undefined,
      responseBody: topLevel(output, this.#rule.responseBody, 'response_body'),
    }
  }
}

/** @throws {Error} for messages with fields whose names cannot be used in JSON or JavaScript */
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

/** Refuses rules that bind fields which exclude each other, because every request would be refused. @throws {Error} */
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
