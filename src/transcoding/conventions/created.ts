import type {DescMessage, DescMethod, Message} from '@bufbuild/protobuf'
import {fieldValue} from '../responses.ts'
import type {Binding} from '../rules/bindings.ts'
import type {Template} from '../rules/templates.ts'
import {textField} from './etag.ts'

/** The path of the resource that a Create method (AIP-133) has created. Undefined when its answer has no name. */
export type LocationOf = (answer: Message) => string | undefined

/**
 * For a method `Create…` whose answer is a resource, or has a field that is one; undefined for any other method. The path is that of
 * the service's method that gets a resource of this type by name. Without such a method it is the prefix of the rule's own path,
 * followed by the name.
 */
export function locationOf(binding: Binding, bindings: readonly Binding[]): LocationOf | undefined {
  const {method, responseBody} = binding
  if (method.methodKind !== 'unary' || !method.name.startsWith('Create')) return undefined
  const resource = resourceOf(binding)
  const nameField = resource && textField(resource, 'name')
  // A resource that is still being created is answered with an operation (AIP-151).
  if (!nameField || resource.typeName === 'google.longrunning.Operation') return undefined
  const getter = bindings.find((other) => gets(other, resource, method))
  return (answer) => {
    const message = responseBody ? (fieldValue(answer, responseBody) as Message | undefined) : answer
    const name = (message && (fieldValue(message, nameField) as string)) || ''
    return getter ? filled(getter.template, name) : behindPrefix(binding.template, name)
  }
}

/** The message type of the response body. */
function resourceOf({method, responseBody}: Binding): DescMessage | undefined {
  if (!responseBody) return method.output
  return responseBody.fieldKind === 'message' ? responseBody.message : undefined
}

function gets(binding: Binding, resource: DescMessage, creator: DescMethod): boolean {
  const {method, httpMethod, variables} = binding
  if (method.parent !== creator.parent || method.methodKind !== 'unary' || httpMethod !== 'GET') return false
  return resourceOf(binding) === resource && variables.length === 1 && variables[0]!.name === 'name'
}

/** The path that `template` matches with `name` as its one variable; undefined when it does not. */
function filled({segments, variables, verb}: Template, name: string): string | undefined {
  const [variable] = variables
  if (!variable || verb) return undefined
  const {start, end, multi} = variable
  const given = multi ? name.split('/') : [name]
  const pattern = segments.slice(start, end)
  const hasRest = pattern.some(({kind}) => kind === '**')
  const fits = pattern.every((segment, index) => segment.kind !== 'literal' || hasRest || segment.text === given[index])
  if (!fits || (!hasRest && given.length !== pattern.length) || given.includes('')) return undefined
  const texts = (part: typeof segments) =>
    part.map((segment) => (segment.kind === 'literal' ? segment.text : undefined))
  const all = [...texts(segments.slice(0, start)), ...given, ...texts(segments.slice(end))]
  return all.includes(undefined) ? undefined : pathOf(all as string[])
}

/** `/v1/shelves/1/books/2` for the name `shelves/1/books/2`, created at `/v1/{parent=shelves/*}/books` or at `/v1/shelves`. */
function behindPrefix({segments, variables}: Template, name: string): string | undefined {
  const given = name.split('/')
  if (given.length < 2 || given.includes('')) return undefined
  const literals = segments
    .slice(0, variables[0]?.start)
    .map((segment) => (segment.kind === 'literal' ? segment.text : ''))
  const collection = literals.indexOf(given[0]!)
  const length = collection >= 0 ? collection : variables.length > 0 ? literals.length : literals.length - 1
  const prefix = literals.slice(0, length)
  return pathOf([...prefix, ...given])
}

function pathOf(segments: readonly string[]): string {
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join('')
}
