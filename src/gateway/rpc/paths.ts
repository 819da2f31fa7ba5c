import type {DescMethod} from '@bufbuild/protobuf'
import {MethodOptions_IdempotencyLevel as Level} from '@bufbuild/protobuf/wkt'
import {pathOf} from '../../clients/call.ts'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {failureReply, type Reply} from '../../http/response/reply.ts'
import type {Handler, Scope} from '../../http/scope.ts'
import {isConnectQuery} from '../../transcoding/rpc/get-request.ts'
import {acceptPost, fits, isOfRpc, type RpcForm, rpcForm} from '../../transcoding/rpc/media.ts'
import {type Unrouted, unroutedFault} from '../../transcoding/rules/router.ts'
import type {RpcRequest, RpcServed} from './request.ts'

/** Decides which requests at `/pkg.Service/Method` are Connect or gRPC-Web. The code that handles them is loaded on first use. */
export class RpcPaths {
  readonly #served: RpcServed
  readonly #methods: ReadonlyMap<string, DescMethod>
  readonly #protocols: ReadonlySet<string>

  constructor(served: RpcServed) {
    this.#served = served
    this.#methods = new Map(served.methods.map((method) => [pathOf(method), method]))
    this.#protocols = new Set(served.settings.protocols)
  }

  /** The handler of an RPC request; undefined for a REST request. */
  choose(scope: Scope): Handler | undefined {
    const method = this.#methods.get(scope.path)
    if (!method) return undefined
    if (scope.method === 'POST') return this.#post(scope, method)
    if (!isRpc(scope, this.#protocols)) return undefined
    return mayBeGot(method)
      ? this.#handler(scope, method)
      : this.#refusal(scope, notAllowed(scope, this.#allowOf(method)))
  }

  /** For a request without a REST route: the handler with RPC's error, or `unrouted` with the methods that RPC allows at the path. */
  unrouted(scope: Scope, unrouted: Unrouted): Handler | Unrouted {
    const {method: verb, path, contentType} = scope
    const method = this.#methods.get(path)
    if (!method) {
      if (unrouted.status !== 404 || !isRpc(scope, this.#protocols)) return unrouted
      return this.#refusal(scope, unroutedFault(unrouted, verb, path))
    }
    const allow = [...new Set([...unrouted.allow, ...this.#allowOf(method), 'OPTIONS'])].sort()
    if (verb === 'OPTIONS') return {status: 204, allow}
    if (verb !== 'POST') {
      return isOfRpc(contentType) ? this.#refusal(scope, notAllowed(scope, allow)) : {status: 405, allow}
    }
    // In REST, a body without a Content-Type is JSON.
    if (!contentType || (rpcForm(contentType)?.type === 'application/json' && !isRpc(scope, this.#protocols))) {
      const isHinted = unrouted.status === 404 && this.#protocols.has('connect')
      return isHinted ? this.#refusal(scope, withoutVersion(path), false) : unrouted
    }
    return this.#refusal(scope, this.#unsupported(method, contentType))
  }

  /** The error of REST's handler at a method's path for content types that it does not accept. */
  failureAt({path}: Pick<Scope, 'path'>): Handler['failure'] {
    const method = this.#methods.get(path)
    if (!method) return undefined
    return (fault) => {
      const shown = failureReply(fault, this.#served.settings.errors)
      if (fault.ownHttpStatus !== 415) return shown
      const rest = fault.ownHeaders.accept
      const accept = acceptPost(method, this.#protocols)
      return {...shown, headers: {...shown.headers, 'accept-post': rest ? `${rest}, ${accept}` : accept}}
    }
  }

  /** The HTTP methods that RPC allows for `method`: gRPC-Web has no GET. */
  #allowOf(method: DescMethod): readonly string[] {
    return this.#protocols.has('connect') && mayBeGot(method) ? ['GET', 'HEAD', 'POST'] : ['POST']
  }

  #post(scope: Scope, method: DescMethod): Handler | undefined {
    const {contentType} = scope
    const form = rpcForm(contentType)
    if (form && fits(form, method) && isRpc(scope, this.#protocols)) return this.#handler(scope, method, form)
    return isOfRpc(contentType) ? this.#refusal(scope, this.#unsupported(method, contentType)) : undefined
  }

  #handler(scope: Scope, method: DescMethod, form?: RpcForm): Handler {
    const request: RpcRequest = {served: this.#served, method, form, accept: scope.headers.accept}
    return Object.assign((scope: Scope) => answer(request, scope), {
      access: accessOf(method),
      failure: async (fault: Fault) => (await import('./failure.ts')).rpcFailure(request, fault),
    })
  }

  /** @param ofRpc whether the error has the format of the RPC protocol */
  #refusal(scope: Scope, fault: Fault, ofRpc = true): Handler {
    const {path, contentType, headers} = scope
    const method = this.#methods.get(path)
    const {errors: errorShape} = this.#served.settings
    const form = fault.ownHttpStatus === undefined ? rpcForm(contentType) : undefined
    const request = {method, form, accept: headers.accept}
    // gRPC-Web cannot express HTTP statuses.
    const isShown = ofRpc && (form !== undefined || !/^\s*application\/grpc/i.test(contentType ?? ''))
    const refuse = (): never => {
      throw fault
    }
    const failure = async (shown: Fault) => {
      if (shown === fault && isShown) return (await import('./failure.ts')).rpcFailure(request, shown)
      // A caller without access must not learn which methods exist: the response is the same at every path.
      const elsewhere = shown === fault ? undefined : failureFor(scope, this.#protocols)
      return elsewhere ? await elsewhere(shown) : failureReply(shown, errorShape)
    }
    return Object.assign(refuse, {errorShape, failure, ...(method ? {access: accessOf(method)} : {unrouted: true})})
  }

  #unsupported(method: DescMethod, contentType = ''): Fault {
    const accept = acceptPost(method, this.#protocols)
    const given = contentType === '' ? 'without a type' : `of type "${shortened(contentType)}"`
    return Fault.invalid('content-type', `Cannot read a body ${given}: expected ${accept}`, {
      http: 415,
      headers: {'accept-post': accept},
    })
  }
}

/** Whether a request is of a served RPC protocol. JSON may also be REST, so a header marks it as Connect. */
function isRpc({method, rawQuery, contentType, headers}: Scope, protocols: ReadonlySet<string>): boolean {
  if (method === 'GET' || method === 'HEAD') return protocols.has('connect') && isConnectQuery(rawQuery)
  const form = method === 'POST' ? rpcForm(contentType) : undefined
  if (!form || !protocols.has(form.protocol)) return false
  const isJson = form.type === 'application/json'
  return !isJson || headers['connect-protocol-version'] !== undefined || !protocols.has('rest')
}

/** Renders failures of a request whose method is unknown or not to be revealed; undefined if the request is not RPC. */
export function failureFor(scope: Scope, protocols: ReadonlySet<string>): Handler['failure'] {
  if (!isRpc(scope, protocols)) return undefined
  const form = scope.method === 'POST' ? rpcForm(scope.contentType) : undefined
  const request = {method: undefined, form, accept: scope.headers.accept}
  return async (fault) => (await import('./failure.ts')).rpcFailure(request, fault)
}

/** Cached, because each import() has a cost. */
let answers: typeof import('./answer.ts') | undefined

async function answer(request: RpcRequest, scope: Scope): Promise<Reply> {
  answers ??= await import('./answer.ts')
  const reply = answers.answerRpc(request, scope)
  const {doubt} = request.served
  if (doubt) reply.catch((error) => void (error instanceof Fault && error.code === 'UNIMPLEMENTED' && doubt()))
  return await reply
}

function accessOf({parent, name}: DescMethod): {readonly name: string} {
  return {name: `${parent.typeName}/${name}`}
}

/** Whether a method can be called by GET: Connect allows it for methods without side effects, by their proto. */
function mayBeGot({methodKind, idempotency}: DescMethod): boolean {
  return methodKind === 'unary' && idempotency === Level.NO_SIDE_EFFECTS
}

function notAllowed({method, path}: Scope, allow: readonly string[]): Fault {
  return unroutedFault({status: 405, allow}, method, path)
}

function withoutVersion(path: string): Fault {
  const message = `Cannot find "${shortened(path)}": no rule is bound to this path. For Connect, the header Connect-Protocol-Version: 1 is needed`
  return new Fault('NOT_FOUND', message, {reason: 'NO_SUCH_PATH', http: 404})
}
