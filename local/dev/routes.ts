import type {DescMethod, FileRegistry} from '@bufbuild/protobuf'
import {exampleOf} from './examples.ts'

/** What a gateway tells of one of its bindings (`Binding` in src/transcoding): as much of it as is shown. */
export interface ToldBinding {
  readonly method: DescMethod
  readonly httpMethod: string
  /** `get: "/v1/{name}"` */
  readonly rule: string
  readonly template: {
    readonly segments: readonly ({readonly kind: 'literal'; readonly text: string} | {readonly kind: '*' | '**'})[]
    readonly variables: readonly {readonly path: string; readonly start: number; readonly end: number}[]
    readonly verb: string
  }
  readonly body: undefined | '*' | {readonly name: string}
}

/** What it tells of its schema. */
export interface ToldSchema {
  readonly bindings: readonly ToldBinding[]
  readonly unserved: readonly {readonly name: string; readonly why: string}[]
  readonly problems: readonly string[]
  readonly registry: FileRegistry
}

/** One route, as it is printed. */
export interface Route {
  /** An HTTP method, or `*` for any. */
  readonly http: string
  /** The template: `/v1/{name=books/*}` */
  readonly path: string
  /** `pkg.Service/Method` */
  readonly method: string
  readonly kind: DescMethod['methodKind']
  /** A request that fits the schema, as curl's arguments: `{url}` is where the functions are. */
  readonly curl: string
}

/** What is served, what is not and why, and what keeps it from being served. */
export interface Routes {
  readonly routes: readonly Route[]
  readonly unserved: readonly {readonly name: string; readonly why: string}[]
  readonly problems: readonly string[]
}

export function routesOf({bindings, unserved, problems}: ToldSchema): Routes {
  return {routes: bindings.map(routeOf), unserved, problems}
}

function routeOf(binding: ToldBinding): Route {
  const {method, httpMethod, rule} = binding
  return {
    http: httpMethod,
    path: /"(\/[^"]*)"/.exec(rule)?.[1] ?? rule,
    method: `${method.parent.typeName}/${method.name}`,
    kind: method.methodKind,
    curl: exampleOf(binding),
  }
}
