import type {DescService} from '@bufbuild/protobuf'
import type {FieldPath} from '../fields/fields.ts'
import {LazyMap} from '../lazy-map.ts'
import type {Binding} from '../rules/bindings.ts'
import {type RoutingParameter, routingOf} from '../rules/routing-rule.ts'
import {type LocationOf, locationOf} from './created.ts'
import {Etags, etagOfAnswer, etagOfRequest} from './etag.ts'
import {type NextPage, nextPageOf} from './next-page.ts'

/** Which of Google's conventions (https://google.aip.dev) apply to one binding. Decided once, from its messages and its rule. */
export interface Conventions {
  readonly etags: Etags
  /** Reads the etag of an answer; undefined where answers have none. */
  readonly etagOf: ReturnType<typeof etagOfAnswer>
  /** The field that If-Match fills; undefined where there is none. */
  readonly ifMatch: FieldPath | undefined
  /** The path of the created resource, for the header Location; undefined for methods that create nothing, or when switched off. */
  readonly locationOf: LocationOf | undefined
  readonly nextPage: NextPage | undefined
  /** The parameters of the routing header; undefined where the path's variables are used instead. */
  readonly routing: readonly RoutingParameter[] | undefined
  /** The names of these variables. */
  readonly variables: readonly string[]
  /** Whether the answer sets headers or the status. */
  readonly concernsAnswer: boolean
}

export interface ConventionOptions {
  /** Whether a Create method answers 201. */
  readonly created: boolean
}

/** The conventions of all `bindings`, each decided when it is first asked for. */
export function conventionsOf(
  bindings: readonly Binding[],
  options: ConventionOptions,
): ReadonlyMap<Binding, Conventions> {
  const services = new Map<DescService, Etags>()
  const etagsOf = ({method: {parent}}: Binding) => {
    const etags = services.get(parent) ?? new Etags()
    services.set(parent, etags)
    return etags
  }
  return new LazyMap(bindings, (binding) => decide(binding, {...options, bindings, etags: etagsOf(binding)}))
}

interface Others extends ConventionOptions {
  readonly bindings: readonly Binding[]
  /** Those of its service. */
  readonly etags: Etags
}

function decide(binding: Binding, {created, bindings, etags}: Others): Conventions {
  const {method, variables} = binding
  const isUnary = method.methodKind === 'unary'
  const etagOf = isUnary ? etagOfAnswer(binding) : undefined
  const whereMade = created ? locationOf(binding, bindings) : undefined
  const nextPage = nextPageOf(binding)
  return {
    etags,
    etagOf,
    // A resource that is yet to be created has no etag.
    ifMatch: isUnary && !method.name.startsWith('Create') ? etagOfRequest(binding) : undefined,
    locationOf: whereMade,
    nextPage,
    routing: routingOf(method),
    variables: variables.map(({name}) => name),
    concernsAnswer: Boolean(etagOf || whereMade || nextPage),
  }
}
