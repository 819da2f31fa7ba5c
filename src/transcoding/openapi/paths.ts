import type {Binding} from '../rules/bindings.ts'
import type {Template, Variable} from '../rules/templates.ts'
import {pathMethods} from './document.ts'

/** A parameter of a path: one wildcard of a template. */
export interface PathParameter {
  /** Letters, digits and `_`; unique in the path. */
  name: string
  /** The index in the binding's variables; undefined for a wildcard outside of any variable. */
  variable: number | undefined
  /** Whether it is the whole variable, rather than one of its segments. */
  whole: boolean
  /** Whether it may span any number of segments. */
  multi: boolean
}

/** The place of an operation in a document. */
export interface Placement {
  binding: Binding
  /** The HTTP method, in lower case if OpenAPI has a member for it. */
  method: string
  path: string
  parameters: readonly PathParameter[]
}

/**
 * The places of `bindings`. In OpenAPI a parameter is one segment, so a variable of several segments is expanded: `{name=shelves/*}`
 * becomes `shelves/{shelvesId}`, as in `flatPath` of Google's discovery documents. Paths that differ only in the names of their
 * parameters are one path in OpenAPI: the first one names the parameters.
 */
export function placementsOf(bindings: readonly Binding[]): Placement[] {
  const paths = new Map<string, Taken>()
  // An earlier placement takes precedence, so the order is that in which the router prefers them.
  return [0, 1, 2, 3].flatMap((rank) =>
    bindings.filter((binding) => rankOf(binding) === rank).flatMap((binding) => placeAll(binding, paths)),
  )
}

/** Paths of one shape: the one that named the parameters, and the HTTP methods in use. */
interface Taken {
  path: string
  names: readonly string[]
  methods: Set<string>
}

function rankOf({httpMethod, template}: Binding): number {
  return (httpMethod === '*' ? 2 : 0) + (template.rest < 0 ? 0 : 1)
}

function placeAll(binding: Binding, paths: Map<string, Taken>): Placement[] {
  return httpMethodsOf(binding)
    .map((method) => place(binding, method, paths))
    .filter((placement) => placement !== undefined)
}

/** The HTTP methods of a binding. `*` stands for each method that allows a body, or that allows none (RFC 9110, 9.3). */
export function httpMethodsOf({httpMethod, body}: Binding): readonly string[] {
  if (httpMethod === '*') return body ? ['put', 'post', 'patch'] : ['get', 'put', 'post', 'delete', 'patch']
  const method = httpMethod.toLowerCase()
  return [pathMethods.some((known) => known === method) ? method : httpMethod]
}

function place(binding: Binding, method: string, paths: Map<string, Taken>): Placement | undefined {
  // Of `/{name}` and `/{name=**}`, the latter gets all but one segment: two of them are the shortest that it is sure of.
  for (let stretch = 1; ; stretch++) {
    const {shape, path, parameters} = render(binding, stretch)
    const taken = paths.get(shape)
    if (!taken) {
      paths.set(shape, {path, names: parameters.map(({name}) => name), methods: new Set([method])})
      return {binding, method, path, parameters}
    }
    if (!taken.methods.has(method)) {
      taken.methods.add(method)
      const renamed = parameters.map((parameter, index) => ({...parameter, name: taken.names[index]!}))
      return {binding, method, path: taken.path, parameters: renamed}
    }
    // Only a `custom {kind: "*"}` can be hidden by another one of the same shape.
    if (binding.template.rest < 0) return undefined
  }
}

interface Rendered {
  /** The path without the names of its parameters. */
  shape: string
  path: string
  parameters: readonly PathParameter[]
}

function render({template}: Binding, stretch: number): Rendered {
  const parameters: PathParameter[] = []
  const segments: string[] = []
  for (const [index, segment] of template.segments.entries()) {
    if (segment.kind === 'literal') {
      segments.push(escapeSegment(segment.text))
      continue
    }
    const variable = template.variables.findIndex(({start, end}) => index >= start && index < end)
    const name = nameOf(template.segments[index - 1], index, template.variables[variable])
    const count = segment.kind === '**' ? stretch : 1
    for (let nth = 1; nth <= count; nth++) {
      const parameter = {
        name: unique(name, parameters),
        variable: variable < 0 ? undefined : variable,
        whole: count === 1 && isAlone(template.variables[variable]),
        multi: segment.kind === '**' && nth === count,
      }
      parameters.push(parameter)
      segments.push(`{${parameter.name}}`)
    }
  }
  const path = `/${segments.join('/')}${template.verb && `:${verbPath(template)}`}`
  return {shape: path.replace(/\{[^}]*\}/g, '{}'), path, parameters}
}

function verbPath({verb}: Template): string {
  return verb.split(':').map(decodeURIComponent).map(escapeSegment).join(':')
}

function nameOf(before: {kind: string; text?: string} | undefined, index: number, variable: Variable | undefined) {
  if (!variable) return 'segment'
  if (isAlone(variable) || index === variable.start || !before?.text) return toName(variable.path)
  return `${toName(before.text)}Id`
}

/** `body.name` becomes `body_name`: parameter names become names in code, and tools refuse or misread a dot. */
function toName(text: string): string {
  return text.replace(/[^A-Za-z0-9_]/g, '_').replace(/^(?=\d)/, '_')
}

function isAlone(variable: Variable | undefined): boolean {
  return variable !== undefined && variable.end - variable.start === 1
}

function unique(name: string, parameters: readonly PathParameter[]): string {
  const isFree = (candidate: string) => parameters.every((parameter) => parameter.name !== candidate)
  let candidate = name
  for (let nth = 2; !isFree(candidate); nth++) candidate = `${name}_${nth}`
  return candidate
}

/** Escapes a literal for a URL. A colon is escaped too, as it would begin a verb. */
function escapeSegment(text: string): string {
  return encodeURIComponent(text).replace(/%(?:24|26|2B|2C|3B|3D|40)/g, decodeURIComponent)
}
