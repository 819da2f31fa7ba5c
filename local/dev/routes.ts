import type {DescMethod, FileRegistry} from '@bufbuild/protobuf'
import {exampleOf} from './examples.ts'

/** The parts of a gateway's binding (`Binding` in src/transcoding) that are shown. */
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

/** The parts of its schema. */
export interface ToldSchema {
  readonly bindings: readonly ToldBinding[]
  readonly unserved: readonly {readonly name: string; readonly why: string}[]
  readonly problems: readonly string[]
  readonly registry: FileRegistry
}

/** One route, for printing. */
export interface Route {
  /** An HTTP method, or `*` for any. */
  readonly http: string
  /** The template: `/v1/{name=books/*}` */
  readonly path: string
  /** `pkg.Service/Method` */
  readonly method: string
  readonly kind: DescMethod['methodKind']
  /** An example request as curl's arguments, in which `{url}` stands for the URL of the functions. */
  readonly curl: string
}

/** The routes that are served, those that are not and why, and the rules that cannot be served. */
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
