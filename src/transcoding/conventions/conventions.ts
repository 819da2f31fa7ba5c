import type {DescService} from '@bufbuild/protobuf'
import type {FieldPath} from '../fields/fields.ts'
import type {Binding} from '../rules/bindings.ts'
import {type LocationOf, locationOf} from './created.ts'
import {Etags, etagOfAnswer, etagOfRequest} from './etag.ts'
import {type NextPage, nextPageOf} from './next-page.ts'
import {type RoutingParameter, routingOf} from './routing-header.ts'

/** Which of Google's conventions (https://google.aip.dev) apply to one binding: decided once, by its messages and its rule. */
export interface Conventions {
  readonly etags: Etags
  /** The etag of an answer; undefined where it has none. */
  readonly etagOf: ReturnType<typeof etagOfAnswer>
  /** The field that If-Match fills; undefined where there is none. */
  readonly ifMatch: FieldPath | undefined
  /** Where what was made can be had; undefined where nothing is made, or nobody wants to know. */
  readonly locationOf: LocationOf | undefined
  readonly nextPage: NextPage | undefined
  /** The parameters of the routing header; undefined: the variables of the path are. */
  readonly routing: readonly RoutingParameter[] | undefined
  /** The names of these variables. */
  readonly variables: readonly string[]
  /** Whether an answer has to be looked at beside its JSON. */
  readonly concernsAnswer: boolean
}

export interface ConventionOptions {
  /** Whether what was made is answered with 201. */
  readonly created: boolean
}

/** The conventions of all `bindings`. */
export function conventionsOf(
  bindings: readonly Binding[],
  {created}: ConventionOptions,
): ReadonlyMap<Binding, Conventions> {
  const services = new Map<DescService, Etags>()
  return new Map(
    bindings.map((binding) => {
      const {method, variables} = binding
      const etags = services.get(method.parent) ?? new Etags()
      services.set(method.parent, etags)
      const isUnary = method.methodKind === 'unary'
      const etagOf = isUnary ? etagOfAnswer(binding) : undefined
      const whereMade = created ? locationOf(binding, bindings) : undefined
      const nextPage = nextPageOf(binding)
      return [
        binding,
        {
          etags,
          etagOf,
          // What is yet to be made has no etag.
          ifMatch: isUnary && !method.name.startsWith('Create') ? etagOfRequest(binding) : undefined,
          locationOf: whereMade,
          nextPage,
          routing: routingOf(method),
          variables: variables.map(({name}) => name),
          concernsAnswer: Boolean(etagOf || whereMade || nextPage),
        },
      ]
    }),
  )
}
