import {readFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import {create, type FileRegistry} from '@bufbuild/protobuf'
import type {Node, Pair, YAMLMap} from 'yaml'
import {ConfigError} from '../core/config.ts'
import {nearest} from '../core/settings.ts'
import {shortened} from '../core/shortened.ts'
import {type HttpRule, HttpRuleSchema} from '../gen/google/api/http_pb.js'
import type {GivenRules} from '../transcoding/rules/rules.ts'

const require = createRequire(import.meta.url)

/** The contents of the GATEWAY_RULES file for one schema. */
export interface ServiceRules {
  readonly http: GivenRules
  /** Timeout of a call, in ms, by `package.Service/Method`. */
  readonly deadlines: ReadonlyMap<string, number>
  /** The services of the API; undefined if the file does not list them. */
  readonly apis: readonly string[] | undefined
  readonly fullyDecode: boolean
  /** Names that match nothing in the schema, one line each. */
  readonly problems: readonly string[]
  /** Settings that this gateway ignores, one line each, for the log. */
  readonly notes: readonly string[]
}

/** Google services for which a file may have rules even if the schema does not have them. */
const mixins = ['google.cloud.location.Locations', 'google.iam.v1.IAMPolicy', 'google.longrunning.Operations']

/**
 * Reads the rules in the file at `path`, a google.api.Service in YAML or JSON, for the methods of `registry`. If several rules match a
 * method, the last one applies (http.proto, backend.proto).
 * @throws {ConfigError} with a line for each error in the file
 */
export function readRules(path: string, registry: FileRegistry): ServiceRules {
  const file = new RulesFile(path)
  const {apis, http, deadlines, fullyDecode} = file.read()
  const names = new Set(methodsOf(registry))
  const problems: string[] = []
  const absent: string[] = []
  const matching = ({selector, line}: Selected) => {
    const matched = selected(selector, names)
    const isMixin = mixins.some((service) => selector === service || selector.startsWith(`${service}.`))
    if (matched.length === 0 && isMixin) absent.push(`"${selector}" (line ${line})`)
    else if (matched.length === 0)
      problems.push(
        file.at(line, `selector "${selector}" is for no method of the schema: ${didYouMean(selector, [...names])}`),
      )
    return matched.map(withSlash)
  }
  const rules = http.flatMap((one) => {
    const given = {rule: one.rule, place: `${path}, line ${one.line}`}
    return matching(one).map((name) => [name, given] as const)
  })
  const limits = deadlines.flatMap((one) => matching(one).map((name) => [name, one.deadline] as const))
  const known = [...registry.files].flatMap(({services}) => services.map(({typeName}) => typeName))
  for (const {name, line} of apis ?? []) {
    if (known.includes(name)) continue
    if (mixins.includes(name)) absent.push(`"${name}" (line ${line})`)
    else problems.push(file.at(line, `there is no service "${name}": ${didYouMean(name, known)}`))
  }
  const notes = absent.length > 0 ? [`The schema does not have ${absent.join(', ')} of ${path}`] : []
  return {
    http: new Map(rules),
    deadlines: new Map(limits),
    apis: apis?.map(({name}) => name),
    fullyDecode,
    problems,
    notes: [...notes, ...file.notes],
  }
}

/** The full names of methods, with dots as in Google's files. */
function methodsOf(registry: FileRegistry): string[] {
  return [...registry.files].flatMap(({services}) =>
    services.flatMap(({typeName, methods}) => methods.map(({name}) => `${typeName}.${name}`)),
  )
}

function withSlash(name: string): string {
  const dot = name.lastIndexOf('.')
  return `${name.slice(0, dot)}/${name.slice(dot + 1)}`
}

/**
 * The methods that `selector` matches (documentation.proto): names separated by commas. The last part of each may be `*`, which matches
 * one or more parts.
 */
function selected(selector: string, names: ReadonlySet<string>): string[] {
  return selector.split(',').flatMap((text) => {
    const pattern = text.trim()
    if (pattern === '*') return [...names]
    if (!pattern.endsWith('.*')) return names.has(pattern) ? [pattern] : []
    return [...names].filter((name) => name.startsWith(pattern.slice(0, -1)))
  })
}

function didYouMean(name: string, known: readonly string[]): string {
  return known.length > 0 ? `did you mean ${nearest(name, known)}?` : ''
}

interface Selected {
  readonly selector: string
  readonly line: number
}

/** Fields of google.api.Service that configure other programs, and would change how requests are answered. */
const readElsewhere = ['authentication', 'usage', 'quota', 'context', 'endpoints', 'system_parameters'] as const
/** The other fields. The first ones are read here. */
const serviceKeys = [
  ...[
    'http',
    'backend',
    'apis',
    'name',
    'title',
    'type',
    'config_version',
    'id',
    'producer_project_id',
    'types',
    'enums',
  ],
  ...['documentation', 'publishing', 'billing', 'control', 'logging', 'logs', 'metrics', 'monitored_resources'],
  ...['monitoring', 'source_info', 'aspects', ...readElsewhere],
]

const patterns = ['get', 'put', 'post', 'delete', 'patch'] as const
const httpKeys = ['selector', ...patterns, 'custom', 'body', 'response_body', 'additional_bindings'] as const
/** Fields of google.api.BackendRule, other than the deadline, that are for Google's proxies. */
const backendOnly = [
  'address',
  'jwt_audience',
  'disable_auth',
  'path_translation',
  'protocol',
  'min_deadline',
  'operation_deadline',
  'overrides_by_request_protocol',
  'load_balancing_policy',
] as const

/** A field: its value, and the line of its key. */
interface Field {
  readonly node: Node | null | undefined
  readonly line: number
}

class RulesFile {
  readonly notes: string[] = []
  readonly #path: string
  readonly #problems: string[] = []
  readonly #yaml = require('yaml') as typeof import('yaml')
  readonly #lines = new this.#yaml.LineCounter()

  constructor(path: string) {
    this.#path = path
  }

  at(line: number, text: string): string {
    return `GATEWAY_RULES="${this.#path}", line ${line}: ${text}`
  }

  read() {
    const root = this.#parse()
    const service = this.#fields(root, serviceKeys, 1)
    for (const key of readElsewhere) {
      const field = service.get(key)
      if (field) this.notes.push(`${this.#path}, line ${field.line}: "${key}" is ignored by this gateway`)
    }
    const http = this.#fieldsOf(service.get('http'), ['rules', 'fully_decode_reserved_expansion'])
    const backend = this.#fieldsOf(service.get('backend'), ['rules'])
    const read = {
      apis: service.has('apis') ? this.#items(service.get('apis')).flatMap((item) => this.#api(item)) : undefined,
      http: this.#items(http.get('rules')).flatMap((item) => this.#selectedRule(item)),
      fullyDecode: this.#flag(http.get('fully_decode_reserved_expansion')),
      deadlines: this.#items(backend.get('rules')).flatMap((item) => this.#deadlineOf(item)),
    }
    if (this.#problems.length > 0) throw new ConfigError(this.#problems.join('\n'))
    return read
  }

  #parse(): Node | null {
    const text = (() => {
      try {
        return readFileSync(this.#path, 'utf8')
      } catch (error) {
        throw new ConfigError(`GATEWAY_RULES="${this.#path}": expected a file: ${(error as Error).message}`)
      }
    })()
    const document = this.#yaml.parseDocument(text, {lineCounter: this.#lines, prettyErrors: false})
    for (const {pos, message} of document.errors) {
      this.#problems.push(this.at(this.#lines.linePos(pos[0]).line, `expected YAML or JSON: ${message}`))
    }
    if (this.#problems.length > 0) throw new ConfigError(this.#problems.join('\n'))
    this.#document = document
    return document.contents
  }

  #document: ReturnType<typeof import('yaml')['parseDocument']> | undefined

  #report(line: number, text: string): void {
    this.#problems.push(this.at(line, text))
  }

  /** Resolves an alias. */
  #resolved(node: Node | null | undefined): Node | null | undefined {
    return this.#yaml.isAlias(node) ? node.resolve(this.#document!) : node
  }

  #lineOf(node: Node | null | undefined, otherwise: number): number {
    return node?.range ? this.#lines.linePos(node.range[0]).line : otherwise
  }

  #fieldsOf(field: Field | undefined, known: readonly string[]): Map<string, Field> {
    return field ? this.#fields(field.node, known, field.line) : new Map()
  }

  /** The fields of a message by their proto names. JSON names are accepted too. */
  #fields(given: Node | null | undefined, known: readonly string[], line: number): Map<string, Field> {
    const node = this.#resolved(given)
    const fields = new Map<string, Field>()
    if (!this.#yaml.isMap(node)) {
      this.#report(this.#lineOf(node, line), `expected ${known.slice(0, 4).join(', ')} …`)
      return fields
    }
    for (const {key, value} of (node as YAMLMap).items as Pair<Node, Node | null>[]) {
      const place = this.#lineOf(key, line)
      const name = String(this.#yaml.isScalar(key) ? key.value : '')
      const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
      if (!known.includes(snake))
        this.#report(place, `there is no "${shortened(name)}" here: did you mean ${nearest(snake, known)}?`)
      else if (fields.has(snake)) this.#report(place, `"${snake}" is there twice`)
      else fields.set(snake, {node: value, line: place})
    }
    return fields
  }

  #items(field: Field | undefined): Field[] {
    const node = this.#resolved(field?.node)
    if (!field || node === null || node === undefined) return []
    if (this.#yaml.isSeq(node))
      return (node.items as Node[]).map((item) => ({node: item, line: this.#lineOf(item, field.line)}))
    this.#report(field.line, 'expected a list')
    return []
  }

  #scalar(field: Field | undefined, expected: string, type: 'string' | 'boolean' | 'number'): unknown {
    const node = this.#resolved(field?.node)
    if (!field) return undefined
    const value = this.#yaml.isScalar(node) ? node.value : undefined
    if (typeof value === type) return value
    this.#report(field.line, `expected ${expected}`)
    return undefined
  }

  #text(field: Field | undefined): string {
    return (this.#scalar(field, 'text', 'string') as string | undefined) ?? ''
  }

  #flag(field: Field | undefined): boolean {
    return (this.#scalar(field, '"true" or "false"', 'boolean') as boolean | undefined) ?? false
  }

  #api(item: Field): {name: string; line: number}[] {
    const keys = ['name', 'methods', 'options', 'version', 'source_context', 'mixins', 'syntax', 'edition']
    const fields = this.#fieldsOf(item, keys)
    const mixed = this.#items(fields.get('mixins')).map((mixin) => this.#fieldsOf(mixin, ['name', 'root']).get('name'))
    return [fields.get('name'), ...mixed].flatMap((field) => {
      const name = this.#text(field)
      return field && name !== '' ? [{name, line: field.line}] : []
    })
  }

  #selector(fields: ReadonlyMap<string, Field>, {line}: Field): Selected[] {
    const field = fields.get('selector')
    if (!field) this.#report(line, 'the rule has no selector: expected the full name of a method')
    const selector = this.#text(field)
    return field && selector !== '' ? [{selector, line: field.line}] : []
  }

  #selectedRule(item: Field): (Selected & {readonly rule: HttpRule})[] {
    const fields = this.#fieldsOf(item, httpKeys)
    const rule = this.#rule(fields, item)
    return this.#selector(fields, item).map((selected) => ({...selected, rule}))
  }

  #rule(fields: ReadonlyMap<string, Field>, {line}: Field): HttpRule {
    const given = [...patterns, 'custom' as const].filter((name) => fields.has(name))
    if (given.length !== 1)
      this.#report(
        line,
        `the rule has ${given.join(' and ') || 'no pattern'}: expected one of get, put, post, delete, patch and custom`,
      )
    const pattern = fields.get(given[0] ?? '')
    const custom = given[0] === 'custom' ? this.#fieldsOf(pattern, ['kind', 'path']) : undefined
    const value = custom
      ? {kind: this.#text(custom.get('kind')), path: this.#text(custom.get('path'))}
      : this.#text(pattern)
    return create(HttpRuleSchema, {
      pattern: {case: given[0], value} as NonNullable<HttpRule['pattern']>,
      body: this.#text(fields.get('body')),
      responseBody: this.#text(fields.get('response_body')),
      additionalBindings: this.#items(fields.get('additional_bindings')).map((binding) =>
        this.#rule(this.#fieldsOf(binding, httpKeys), binding),
      ),
    })
  }

  #deadlineOf(item: Field): (Selected & {readonly deadline: number})[] {
    const fields = this.#fieldsOf(item, ['selector', 'deadline', ...backendOnly])
    const unread = backendOnly.filter((name) => fields.has(name))
    if (unread.length > 0)
      this.notes.push(
        `${this.#path}, line ${item.line}: ${unread.map((name) => `"${name}"`).join(', ')} of a backend rule ${unread.length > 1 ? 'are' : 'is'} ignored by this gateway: BACKEND_URL and BACKEND_AUDIENCE configure the backend`,
      )
    const selected = this.#selector(fields, item)
    const field = fields.get('deadline')
    const seconds = this.#scalar(field, 'seconds, such as 60.0', 'number') as number | undefined
    if (field && seconds !== undefined && !(seconds > 0)) this.#report(field.line, 'expected seconds, more than 0')
    return seconds === undefined ? [] : selected.map((one) => ({...one, deadline: seconds * 1000}))
  }
}
