import type {DescService, FileRegistry} from '@bufbuild/protobuf'
import type {ErrorShape} from '../../core/config.ts'
import {type Dialect, ignoresUnknownFields, ownDialect} from '../../core/dialect.ts'
import type {Conventions} from '../conventions/conventions.ts'
import type {Cursors} from '../event-id.ts'
import type {Binding} from '../rules/bindings.ts'
import {requestBodyOf, responseOf} from './bodies.ts'
import {commentOf, summaryOf} from './comments.ts'
import {withConventions} from './conventions.ts'
import {
  type OpenApiDocument,
  type Operation,
  type PathItem,
  pathMethods,
  type Reference,
  type Schema,
  type SecurityScheme,
  sorted,
  type Tag,
  withoutEmpty,
} from './document.ts'
import {errorResponse, errorSchemas} from './errors.ts'
import {numbered, operationNames} from './names.ts'
import {headerParameters, literalsOf, parametersOf} from './parameters.ts'
import {type Placement, placementsOf} from './paths.ts'
import {Schemas} from './schemas.ts'

export type {OpenApiDocument} from './document.ts'

export interface OpenApiOptions {
  /** The bindings of the router. */
  bindings: readonly Binding[]
  registry: FileRegistry
  title: string
  version: string
  /** Put before the general description of JSON and queries. */
  description?: string | undefined
  /** The base URLs of the API; the root of the server that the document comes from unless given. */
  servers?: readonly string[] | undefined
  /** The security schemes, of which any one is enough. Left out of the document unless given. */
  security?: readonly SecurityScheme[] | undefined
  /** Whether a method, `pkg.Service/Method`, needs no credentials: false unless given. */
  isOpen?: ((method: string) => boolean) | undefined
  /** The roles that a caller of a method needs, such as `books.write` or `hd=example.com`: none unless given. */
  rolesOf?: ((method: string) => readonly string[]) | undefined
  /** The header with the webhook signature that authenticates calls of a method, beside the security schemes: none unless given. */
  signatureOf?: ((method: string) => string | undefined) | undefined
  /** The format of errors: AIP-193 unless given. */
  errors?: ErrorShape | undefined
  /** How requests are read and answers are written. */
  dialect?: Dialect | undefined
  /** Which of Google's conventions each binding follows: none unless given. */
  conventions?: ReadonlyMap<Binding, Conventions> | undefined
  /** How event streams are resumed; not at all unless given. */
  cursors?: Pick<Cursors, 'byMethod'> | undefined
}

/**
 * The OpenAPI 3.1 document of the API that `bindings` serve. The same schema always gives the same document. Expensive: keep the
 * result.
 * @example
 * const transcoder = createTranscoder({schema: readFileSync('src/gen/descriptors.binpb')})
 * const document = openApi({...transcoder, title: 'Books', version: '1.0.0', servers: ['https://books.example.com']})
 */
export function openApi(options: OpenApiOptions): OpenApiDocument {
  const {bindings, registry, title, version, servers = ['/'], errors = 'aip', dialect = ownDialect} = options
  const schemas = schemasOf(bindings, registry, dialect)
  const schemes = named(options.security ?? [])
  const signatures = signaturesOf(options)
  const paths = pathsOf(bindings, schemas, (operation, placement) => {
    const {binding} = placement
    const conventions = options.conventions?.get(binding)
    const cursor = options.cursors?.byMethod.get(binding.method)
    const conventional = withConventions(operation, placement, {conventions, cursor}, schemas.requests)
    return withSecurity(conventional, securityOf(options, {schemes, signatures}, nameOf(binding)))
  })
  return {
    openapi: '3.1.1',
    info: {
      title,
      version,
      description: [options.description ?? '', conventionsOf(dialect)].filter(Boolean).join('\n\n'),
    },
    servers: servers.map((url) => ({url})),
    ...(options.security && {security: schemes.map(([name]) => ({[name]: []}))}),
    tags: tagsOf(bindings),
    paths,
    components: {
      schemas: sorted<Schema>([
        ...Object.entries(schemas.requests.components()),
        ...Object.entries(errorSchemas(errors)),
      ]),
      parameters: headerParameters,
      responses: {error: errorResponse},
      ...(schemes.length + signatures.length > 0 && {securitySchemes: Object.fromEntries([...schemes, ...signatures])}),
    },
  }
}

/** The security schemes of all methods, and the signatures of some. */
interface Proofs {
  readonly schemes: readonly NamedScheme[]
  readonly signatures: readonly NamedScheme[]
}

/** The security requirements of `method`; undefined where they are those of the whole document. */
function securityOf(
  {security, isOpen, rolesOf, signatureOf}: OpenApiOptions,
  {schemes, signatures}: Proofs,
  method: string,
): Operation['security'] {
  if (security && isOpen?.(method)) return []
  const roles = rolesOf?.(method) ?? []
  const header = signatureOf?.(method)
  if (!security && header === undefined) return undefined
  if (roles.length > 0) {
    // Rules about claims need a token: a key, a password or a signature has none.
    const able = schemes.filter(([, scheme]) => hasClaims(scheme))
    return able.length > 0 ? able.map(([name]) => ({[name]: [...roles]})) : undefined
  }
  if (header === undefined) return undefined
  const signed = signatures.filter(([, scheme]) => scheme.type === 'apiKey' && scheme.name === header)
  return [...schemes, ...signed].map(([name]) => ({[name]: []}))
}

/** The schemes of signatures. To OpenAPI a signature is a header, as an API key is. */
function signaturesOf({bindings, signatureOf}: OpenApiOptions): NamedScheme[] {
  const headers = bindings.map((binding) => signatureOf?.(nameOf(binding))).filter((header) => header !== undefined)
  const used = new Set<string>()
  return [...new Set(headers)].map((name) => [numbered('signature', used), {type: 'apiKey', in: 'header', name}])
}

function hasClaims(scheme: SecurityScheme): boolean {
  return scheme.type === 'openIdConnect' || (scheme.type === 'http' && scheme.scheme === 'bearer')
}

type NamedScheme = [name: string, scheme: SecurityScheme]

/** Gives each scheme a unique name. */
function named(schemes: readonly SecurityScheme[]): NamedScheme[] {
  const used = new Set<string>()
  return schemes.map((scheme) => [numbered('scheme' in scheme ? scheme.scheme : scheme.type, used), scheme])
}

/** The schemas of requests and of answers. */
interface Both {
  requests: Schemas
  answers: Schemas
}

function schemasOf(bindings: readonly Binding[], registry: FileRegistry, dialect: Dialect): Both {
  const refusesUnknown = !ignoresUnknownFields(dialect)
  const answers = new Schemas(registry, {refusesUnknown, dialect})
  if (!refusesUnknown) return {requests: answers, answers}
  // Answers first: a message in both then keeps its plain name for the answer, and the request's schema is renamed.
  for (const binding of bindings) responseOf(binding, answers)
  return {requests: new Schemas(registry, {refusesUnknown, answers, dialect}), answers}
}

/** The description of what schemas leave out: they describe what is sent, not everything that is accepted. */
function conventionsOf({fieldNames, enums, zeroValues}: Dialect): string {
  return [
    `JSON is the JSON mapping of Protocol Buffers. Requests may also name fields ${fieldNames === 'json' ? 'as the proto does' : 'in lowerCamelCase'}, give 64-bit integers as`,
    `numbers, enums by ${enums === 'name' ? 'number' : 'name'}, bytes in base64url, and null for a field that is not set. An answer`,
    `${zeroValues === 'omit' ? 'leaves out' : 'has'} fields that have their zero value, and has the number of an enum value that its schema does not list.`,
    'Any query may have `$fields` (the fields of the answer to return, as a FieldMask), `$prettyPrint` and `$alt`.',
  ].join(' ')
}

function pathsOf(
  bindings: readonly Binding[],
  schemas: Both,
  complete: (operation: Operation, placement: Placement) => Operation,
): Record<string, PathItem> {
  const names = operationNames(bindings)
  const paths = new Map<string, Placement[]>()
  for (const placement of placementsOf(bindings)) {
    const {path} = placement
    paths.set(path, [...(paths.get(path) ?? []), placement])
  }
  const operationOf = (placement: Placement): [string, Operation] => [
    placement.method,
    complete(operation(placement, names(placement), schemas), placement),
  ]
  return sorted([...paths].map(([path, placements]) => [path, pathItem(placements.map(operationOf))] as const))
}

function nameOf({method: {name, parent}}: Binding): string {
  return `${parent.typeName}/${name}`
}

/** An operation that needs no credentials has an empty list. */
function withSecurity(operation: Operation, security: Operation['security']): Operation {
  return security ? {...operation, security} : operation
}

function pathItem(operations: readonly [method: string, operation: Operation][]): PathItem {
  const isKnown = (method: string) => pathMethods.some((known) => known === method)
  const others = operations.filter(([method]) => !isKnown(method))
  return {
    parameters: commonParameters,
    ...Object.fromEntries(pathMethods.flatMap((method) => operations.filter(([other]) => other === method))),
    ...(others.length > 0 && {'x-additional-operations': sorted(others)}),
  }
}

const commonParameters: Reference[] = Object.keys(headerParameters).map((name) => ({
  $ref: `#/components/parameters/${name}`,
}))

function operation(placement: Placement, operationId: string, {requests, answers}: Both): Operation {
  const {binding} = placement
  const {method} = binding
  const {summary, description} = summaryOf(commentOf(method))
  return withoutEmpty({
    tags: [method.parent.typeName],
    summary: summary || sentence(method.name),
    description: [description, literalsOf(placement)].filter(Boolean).join('\n\n'),
    operationId,
    deprecated: method.deprecated || method.parent.deprecated,
    parameters: parametersOf(placement, requests),
    requestBody: requestBodyOf(binding, requests),
    responses: {200: responseOf(binding, answers), default: {$ref: '#/components/responses/error'}},
    'x-grpc-method': `${method.parent.typeName}.${method.name}`,
  })
}

/** `ListBooksByShelf` as "List books by shelf", for methods without a comment. */
function sentence(name: string): string {
  const words = name.match(/(?:[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z])\d*|\d+/g) ?? [name]
  return words.map((word, index) => (index > 0 && /^[A-Z][a-z]*$/.test(word) ? word.toLowerCase() : word)).join(' ')
}

function tagsOf(bindings: readonly Binding[]): Tag[] {
  const services = new Map<string, DescService>(bindings.map(({method: {parent}}) => [parent.typeName, parent]))
  return Object.entries(sorted(services)).map(([name, service]) =>
    withoutEmpty({name, description: commentOf(service)}),
  )
}
