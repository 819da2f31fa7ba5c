import type {Room} from './mutations.ts'

const survival = ['test/clients/survival.test.ts', 'test/clients/bounds.test.ts']
const calls = ['test/clients/calls.test.ts']
const status = ['test/clients/status.test.ts']
const tokens = ['test/clients/id-tokens.test.ts', 'test/clients/token-patience.test.ts']

export const clients: Room = {
  tests: ['test/clients/*.test.ts', 'test/functions/{ping,health,connect-deadline,late-token,gateway-streams}.test.ts'],
  files: [
    {
      file: 'src/clients/calls/retries.ts',
      by: [...survival, ...status],
      changes: [
        ['const mostAttempts = 6', 'const mostAttempts = 60', 'a call that is refused is made sixty times'],
        ['const firstPause = 25', 'const firstPause = 25_000', 'a repeat waits for 25 s'],
        ['!this.#outgoing.canBegin || ', '', 'a broken upload is sent again from its middle'],
        ["if (asked === 'never') return false", '', 'a server that says no is asked again'],
        ['const ms = asked ?? grown', 'const ms = grown', 'the pause that a server asks for is not kept'],
        [
          '!exchange.isUnseen && !(isRepeatable(this.#call) && this.#mayPass(end))',
          '!this.#mayPass(end)',
          'a method that must run once runs twice',
        ],
        [
          'return !answersMany(call.method) && wasBroken(end, call)',
          'return false',
          'a hard restart fails calls that may be repeated, whose answer came without its status',
        ],
        ['isCounted && !this.#budget.take()', 'false', 'an outage is multiplied by six'],
        [' || !exchange.hasLostConnection', '', 'a restart in which connections end one after the other fails calls'],
        ['runtime.idTokens.for(backend.audience).forget(idToken)', '', 'a revoked token is sent again'],
        ['http === 429 || ', '', 'a front end that is full fails calls that may be repeated'],
        [
          'this.#attempts === 1 && asked === undefined',
          'asked === undefined',
          'a server that refuses is asked without a pause',
        ],
        ['method.idempotency === Level.NO_SIDE_EFFECTS || ', '', 'methods without side effects are not repeated'],
      ],
    },
    {
      file: 'src/clients/calls/retries.ts',
      by: ['test/functions/gateway-authorization.test.ts'],
      changes: [['this.#hasNewToken = true', '', 'a front end that takes no token is asked without end']],
    },
    {
      file: 'src/clients/connections/pool.ts',
      by: ['test/functions/connect-deadline.test.ts'],
      changes: [
        [
          'retryAfter: 1,\n      hint: `no connection',
          'hint: `no connection',
          'no Retry-After when a backend cannot be reached',
        ],
      ],
    },
    {
      file: 'src/clients/connections/connecting.ts',
      by: ['test/clients/attempts.test.ts'],
      changes: [
        ["...(!tls && {'grpc.enable_http_proxy': 0}),", '', 'a proxy of the environment reads what is in the clear'],
      ],
    },
    {
      file: 'src/clients/calls/retry-budget.ts',
      by: survival,
      changes: [
        ['const mostTokens = 10', 'const mostTokens = 10_000', 'an outage is multiplied'],
        ['this.#tokens--', '', 'the budget has no end'],
        ['const tokensOfSuccess = 0.1', 'const tokensOfSuccess = 10', 'each success pays for ten repeats'],
      ],
    },
    {
      file: 'src/clients/connections/pool.ts',
      by: survival,
      changes: [
        ['const mostConnections = 50', 'const mostConnections = 5000', 'a burst opens connections without end'],
        ['const grace = 2500', 'const grace = 0', 'a backend that restarts fails every call'],
        ['connection.isTrusted(now) && ', '', 'calls go into a dead connection after a freeze'],
        ['connection.examine(now)', '', 'a connection that was silent is never used again'],
        ['if (connection.isLate) continue', '', 'a dead connection is waited for'],
        ['else if (this.#connections.length > 1) this.#giveBack()', '', 'connections of a burst are kept for ever'],
        ['if (connection.streams > 0) continue', '', 'connections with calls are closed'],
        [
          'queue.delete(waiter)\n      if (this.waiting',
          'if (this.waiting',
          'a caller who hung up is still waited for',
        ],
        [
          'if (waiter.connection) this.release(waiter.connection, streaming)',
          '',
          'a stream is lost with each caller who hangs up',
        ],
        ['this.#cap = connection.cap\n    const slower', 'const slower', 'a burst waits on one connection'],
        [
          'const most = this.#unary.size > 0 ? mostConnections : mostConnections - unaryConnections',
          'const most = mostConnections',
          'streams take all connections',
        ],
        [
          'for (const queue of [this.#unary, this.#streaming]) {\n      for (const waiter of queue) {\n',
          'for (const queue of [this.#streaming, this.#unary]) {\n      for (const waiter of queue) {\n',
          'streams go before unary calls',
        ],
        ['if (!this.#outage?.isKnown) return false', 'return false', 'every call to a dead backend waits'],
        [
          'if (isKnown) this.#settleAll(failure)\n    else this.#serve()',
          'this.#serve()',
          'calls to a dead backend wait for their deadline',
        ],
        ['this.#outage = undefined\n    this.#cap', 'this.#cap', 'a backend that is back is not found'],
      ],
    },
    {
      file: 'src/clients/connections/connection.ts',
      by: survival,
      changes: [
        ['const certain = 50', 'const certain = 60_000', 'calls go into a connection that died a minute ago'],
        ['const doubtful = 4 * 60_000', 'const doubtful = 0', 'a healthy connection is given up at once'],
        [
          'const pingsWithoutData = 2',
          'const pingsWithoutData = 2000',
          'gRPC servers close the connection for too many pings',
        ],
        ['this.#standing++', '', 'idle streams shut unary calls out'],
        ['this.lastStream = lastStream', '', 'a call that GOAWAY has turned away is not made again'],
        ['for (const socket of this.#sockets) socket.destroy()', '', 'a dropped connection stays open'],
        ['cap - Math.ceil(cap / 10)', 'cap', 'streams take the last place of a connection'],
        [
          'if (!alive) this.drop()',
          '',
          'a dead connection is kept',
          'the channel of a session that has ended tells the pool so, one turn later',
        ],
        [
          'this.#timer ??= setTimeout(() => this.#lookAfter(), silenceInCall)',
          '',
          'calls in flight on a dead connection wait for ever',
        ],
        ['this.#gone = true', '', 'a connection is closed twice', 'closing a channel twice does nothing'],
      ],
    },
    {
      file: 'src/clients/connections/connecting.ts',
      by: [
        'test/clients/channels.test.ts',
        'test/clients/connecting.test.ts',
        'test/clients/grpc-internals.test.ts',
        'test/clients/calls.test.ts',
      ],
      changes: [
        ["'grpc.use_local_subchannel_pool': 1,", '', 'a connection that died is picked again'],
        ["'grpc.max_receive_message_length': mostReceived,", '', 'answers above 4 MiB fail'],
        ['leaveRetriesToUs(channel)', '', 'grpc-js makes calls again by itself'],
        [
          "'grpc.default_authority': host,",
          '',
          'the backend sees an address in place of its host',
          'the two differ only where the port is the usual one of the scheme, which no test can take',
        ],
        ['for (const socket of this.#sockets) socket.destroy()', '', 'a server that says nothing keeps a socket'],
        [
          'if (!this.#isConnected) return void this.#fail()',
          '',
          'a connection that broke off at once is used',
          'a connection that breaks off within one turn: the call on it is made again',
        ],
      ],
    },
    {
      file: 'src/clients/calls/exchange.ts',
      by: [...calls, ...survival],
      changes: [
        ['onAbort(call.life, this.#onAbort)', '', 'a caller who hangs up leaves the call open'],
        ['offAbort(this.#call.life, this.#onAbort)', '', 'each call of a request leaves a listener'],
        ['if (!this.end) this.#cancel(over)', '', 'breaking out of the answers hangs'],
        [
          'await this.#pumped',
          '',
          'a request is over while its source is still read',
          'the pump ends by itself within the same turn',
        ],
        [
          "progress === 'NOT_STARTED' || ",
          '',
          'a call that never left is not made again',
          'a session that ends is seen in the next turn: only an end within the turn of a call gets there',
        ],
        ['if (this.cause !== undefined || this.#call.header) return false', '', 'a call that was answered runs twice'],
        [
          'const context = {callback: () => resolve()}',
          'const context = {}\n      resolve()',
          'an upload fills the memory',
        ],
        [
          'setTimeout(() => this.#cancel(noMessage(this.#call, messageTimeout)), messageTimeout)',
          'setTimeout(() => {}, messageTimeout)',
          'a backend that stalls in a stream is waited for',
        ],
        ['clearTimeout(this.#silence)', '', 'a stream is broken off while its caller is slow'],
        [
          'if (batch.isDue) await turn()',
          '',
          'a body of small messages holds the event loop',
          'each write is waited for as well, which takes a turn: this only has several bodies take turns',
        ],
        [
          'return stream !== undefined && stream > lastStream!',
          'return true',
          'a call that may have run is made again',
        ],
        ['call.trailer = end.metadata', '', 'trailers are lost'],
      ],
    },
    {
      file: 'src/clients/calls/outgoing.ts',
      by: [...calls, ...survival],
      changes: [
        ['return this.#taken < 2', 'return true', 'a stream is sent again without its beginning'],
        [
          "Array.isArray(messages) || ('isKept' in messages && messages.isKept === true)",
          'false',
          'a refused call is a failure',
        ],
        ['this.#end?.abort(over)', '', 'the source of a stream does not hear that the call is over'],
        [
          'this.#call.life.track(Promise.try(() => messages.return?.()).catch(() => {}))',
          '',
          'the source of a stream is not ended',
        ],
        ['this.#next.catch(() => {})', '', 'a source that fails after the call ends the process'],
      ],
    },
    {
      file: 'src/clients/calls.ts',
      by: [...calls, ...survival, 'test/functions/gateway-authorization.test.ts'],
      changes: [
        ['if (reason) throw reason', '', 'a call is made for a caller who is gone'],
        ['pool.release(connection, streaming)', '', 'a connection fills up with calls that are over'],
        ['if (cause !== undefined) throw cause', '', 'a hang-up is told as a failure of the backend'],
        ['open--', '', 'calls are counted as open for ever'],
        ['await authorize(call)', '', 'the front end turns every call away'],
        ['code = Fault.from(error).code', '', 'a failed call is recorded as cancelled'],
        ['for (const end of ends) end?.(code)', '', 'the log does not say which backend was called'],
      ],
    },
    {
      file: 'src/clients/calls/interceptors.ts',
      by: [
        ...calls,
        ...status,
        'test/clients/credentials.test.ts',
        'test/functions/gateway-authorization.test.ts',
        'test/auth/door.test.ts',
      ],
      changes: [
        ["call.metadata.set('x-request-id', call.life.id)", '', 'the backend logs another request id'],
        ['if (/^[ -~]*$/.test(value)) ', '', 'a header with other characters fails the call'],
        ['life.checkCall?.(method)', '', 'AUTH_ALLOW does not hold for calls'],
        ['else metadata.remove(claimsKey)', '', 'a caller sets the claims that the backend trusts'],
        ['life.note({grpc})', '', 'the log does not say which backend was called'],
        ['call.deadline = Math.min(call.deadline, call.life.deadline)', '', 'a call outlives its request'],
      ],
    },
    {
      file: 'src/clients/identity/authorization.ts',
      by: [...status, 'test/functions/gateway-authorization.test.ts'],
      changes: [
        [
          "taken ? 'x-serverless-authorization' : tokenHeader",
          'tokenHeader',
          "the caller's own authorization is overwritten",
        ],
        ['source.token(life, call.deadline)', 'source.token(life)', 'a token is waited for beyond the deadline'],
      ],
    },
    {
      file: 'src/clients/identity/authorization.ts',
      by: ['test/clients/channels.test.ts'],
      changes: [
        ['call.runtime.channels.to(call.backend).prepare()', '', 'the first request connects only once it has a token'],
        ['if (!abortReasonOf(life)) call', 'call', 'a connection is opened for a caller who has hung up'],
      ],
    },
    {
      file: 'src/clients/identity/id-tokens.ts',
      by: tokens,
      changes: [
        ['const refreshBefore = 5 * 60_000', 'const refreshBefore = 0', 'the token expires under way'],
        ['const patience = 2000', 'const patience = 200_000', 'a refresh that hangs holds requests that have a token'],
        [
          'const pauseAfterFailure = 10_000',
          'const pauseAfterFailure = 0',
          'each request waits for a refresh that hangs',
        ],
        ['this.#fetch ??= this.#begin()', 'this.#fetch = this.#begin()', 'a hundred callers fetch a hundred tokens'],
        ['if (waiter.signal.aborted || Date.now() >= token.expires) throw error', '', 'an expired token is sent'],
        [
          'if (this.#token?.value === token) this.#token = undefined',
          'this.#token = undefined',
          'a good token is thrown away',
        ],
        ['fetch.end.abort(over)', '', 'a fetch goes on after its last caller'],
        ['clearTimeout(timer)', '', 'a timer is left after each wait for a token'],
        ["signal.removeEventListener('abort', onAbort)", '', 'a listener is left after each wait for a token'],
        ['(expires - now) / 2', '0', 'a token with a short life is fetched for every call'],
        ['return claims.exp * 1000', 'return claims.exp', 'every token looks expired'],
        [
          'if (this.#fetch?.end === end) this.#fetch = undefined',
          '',
          'a failure to get a token is kept',
          'the last one who waits forgets the fetch as well',
        ],
      ],
    },
    {
      file: 'src/clients/identity/metadata-server.ts',
      by: ['test/clients/metadata-answers.test.ts', 'test/clients/credentials.test.ts', ...tokens],
      changes: [
        [
          "if (response.headers[flavor] !== 'Google') throw",
          'if (false) throw',
          'any server on the address gives tokens',
        ],
        ['if (statusCode === 200) return body', 'return body', 'an error page is sent as a token'],
        ["headers: {[flavor]: 'Google'},", '', 'the metadata server refuses'],
        ["end.addEventListener('abort', stop)", '', 'a fetch that hangs is never ended'],
        ['const mostAttempts = 3', 'const mostAttempts = 1', 'one failure of the metadata server fails a call'],
        ['const maxAnswer = 64 * 1024', 'const maxAnswer = 2 ** 31', 'an endless answer fills the memory'],
      ],
    },
    {
      file: 'src/clients/status.ts',
      by: [...status, 'test/clients/bounds.test.ts'],
      changes: [
        ['const clockSkew = 50', 'const clockSkew = 50_000', 'a backend that breaks off looks like a timeout'],
        [
          'if (audience && call.idToken) call.runtime.idTokens.for(audience).forget(call.idToken)',
          '',
          'a refused token is kept',
        ],
        ['const passing = http === 429 || ', 'const passing = ', 'a front end that is full is 502'],
        ["...(code === 'CANCELLED' && {http: badGateway}),", '', 'a caller who is there gets 499'],
        ['headers: challengeOf(end, call),', '', "a service's WWW-Authenticate is lost"],
        ['return {details, types:', 'return {details: [], types:', 'error details are lost'],
        ['retryAfter: 1,\n    ...(name', '...(name', 'no Retry-After when a backend is down'],
        [
          'return isBroken && !isOwn',
          'return isBroken',
          'a call that was answered runs twice',
          'who asks has looked at the header before, and a call that broke has no trailers',
        ],
      ],
    },
    {
      file: 'src/clients/service-client.ts',
      by: calls,
      changes: [
        [
          'const defaultTimeout = 30_000',
          'const defaultTimeout = 30_000_000',
          'a backend that does not answer is waited for',
        ],
        [
          "if (answer) throw new Fault('INTERNAL'",
          "if (false) throw new Fault('INTERNAL'",
          'the first of two answers is lost',
        ],
        ['await inits.return?.()', '', 'a source is not ended'],
        [
          'return one ? life.track(onlyAnswer(call))',
          'return one ? onlyAnswer(call)',
          'a call goes on after the answer has left',
        ],
      ],
    },
    {
      file: 'src/clients/connections/grpc-internals.ts',
      by: ['test/clients/grpc-internals.test.ts', 'test/clients/batches.test.ts', ...status, ...survival],
      changes: [
        ['inside.createRetryingCall = single', '', 'grpc-js makes calls again by itself'],
        ['if (session) return session', '', 'a dead connection is not found out'],
        ['frames.writeUInt32BE(message.length, at + 1)', '', 'messages that leave together cannot be read'],
        [
          "return {...end, code: 14, details: 'Connection dropped'}",
          'return end',
          'a connection that broke off is an internal error',
        ],
      ],
    },
    {
      file: 'src/clients/connections/probe.ts',
      by: ['test/clients/causes.test.ts', 'test/limits.test.ts'],
      changes: [
        ['const patience = 500', 'const patience = 500_000', 'a port that says nothing is asked for minutes'],
        ["socket.on('error', () => {})", '', 'a port that resets ends the process'],
        ["if (secure && !backend.tls) return 'TLS_PORT'", '', 'the log does not say that the port speaks TLS'],
        [
          'if (life.signal.aborted && probed.get(backend.url) === probe) probed.delete(backend.url)',
          '',
          'a caller who hung up leaves a wrong cause for the next',
        ],
      ],
    },
    {
      file: 'src/clients/calls/metrics.ts',
      by: calls,
      changes: [
        ['row.inFlight--', '', 'calls are counted as in flight for ever'],
        ['row.latency += latency', '', 'latencies are those of the last call'],
      ],
    },
    {
      file: 'src/clients/connections/causes.ts',
      by: ['test/clients/causes.test.ts'],
      changes: [
        [
          '/certificate has expired|CERT_HAS_EXPIRED/i',
          '/CERT_HAS_EXPIRED/',
          'the log does not say that the certificate has expired',
        ],
        ["url.replace('http:', 'https:')", 'url', 'the log advises the URL that does not work'],
      ],
    },
    {
      file: 'src/clients/connections/losses.ts',
      by: ['test/clients/losses.test.ts'],
      changes: [
        ['/^max_(age|idle)$/', '/^max_age$/', 'a connection that idled too long looks like a shutdown'],
        ["if (/\\b(read|write) E[A-Z]+$/.test(details)) return 'RESET'", '', 'a reset looks like a server that exited'],
        ["/^ERR_HTTP2/.test(code) ? 'DISRUPTED' : 'RESET'", "'RESET'", 'bytes that are no HTTP/2 look like a reset'],
      ],
    },
    {
      file: 'src/clients/connections/probe.ts',
      by: ['test/clients/causes.test.ts'],
      changes: [
        [
          'bytes[3] === 4 || bytes[3] === 7',
          'bytes[3] === 4',
          'a server that takes no more calls is taken for another protocol',
        ],
        [
          '...(!/^[\\d.]+$|:/.test(host) && {servername: host}),',
          '',
          'the log blames the certificate of a server with several names',
        ],
      ],
    },
    {
      file: 'src/clients/service-client.ts',
      by: calls,
      changes: [
        ['messageTimeout < 2 ** 31 && ', '', 'a deadline of a month ends a stream at once'],
        ['for (const [key, value] of Object.entries(metadata)) sent.set(key, value)', '', 'metadata of a call is lost'],
      ],
    },
    {
      file: 'src/clients/service-client.ts',
      by: ['test/auth/contract.test.ts'],
      changes: [
        ['contractOf(runtime).learn([service])\n', '', "a function's own calls are not restricted by the proto"],
      ],
    },
    {
      file: 'src/clients/health.ts',
      by: ['test/functions/health-unknown.test.ts'],
      changes: [
        ["  NOT_FOUND: 'it answers", "  OUT_OF_RANGE: 'it answers", 'a backend that can be reached is 503'],
        ['requests: () => [request]}, {timeout}', 'requests: () => [request]}', 'a probe waits for 30 s'],
      ],
    },
    {
      file: 'src/clients/reflection.ts',
      by: ['test/functions/gateway-reflection.test.ts'],
      changes: [
        ['const atOnce = 16', 'const atOnce = 1', 'each service takes a call of its own'],
        ["fault.code === 'UNIMPLEMENTED' && version === 'v1'", "version === 'v1'", 'the log blames a missing v1alpha'],
        ['if (this.#bytes > maxBytes) throw', 'if (false) throw', 'a schema without end fills the memory'],
        ['reflection|health|channelz', 'reflection|channelz', 'the health service of each backend is served'],
        [
          '(file.package ? `${file.package}.${name}` : name)',
          '`${file.package}.${name}`',
          'the log misses services that have no package',
        ],
      ],
    },
    {
      file: 'src/clients/identity/credentials.ts',
      by: ['test/clients/credentials.test.ts'],
      changes: [
        ['        found = undefined\n', '', 'an instance that started without its key never finds it'],
        ['client instanceof JWT ? client.createScoped() : client', 'client', 'with a key file no call gets a token'],
        ["projectId = 'unknown'", "projectId = ''", 'the first request runs the command gcloud'],
      ],
    },
    {
      file: 'src/clients/identity/credentials.ts',
      by: ['test/clients/access-tokens.test.ts'],
      changes: [
        [
          'expiry_date: Date.now() + expires_in * 1000',
          'expiry_date: Date.now() + expires_in',
          'each request to Storage fetches a token',
        ],
      ],
    },
    {
      file: 'src/clients/calls/interceptors.ts',
      by: ['test/functions/telemetry.test.ts'],
      changes: [
        [
          '[metrics, requestId, span, caller, record, deadline]',
          '[metrics, span, requestId, caller, record, deadline]',
          "the backend's span is no child of its call",
        ],
      ],
    },
    {
      file: 'src/clients/calls/interceptors.ts',
      by: ['test/log.test.ts'],
      changes: [
        ['Math.round(performance.now() - began)', 'performance.now() - began', 'latencies have a dozen digits'],
      ],
    },
    {
      file: 'src/functions/ping.ts',
      by: ['test/functions/ping.test.ts', 'test/auth/door.test.ts'],
      changes: [
        ['  scope.hold(0)\n', '\n', 'bytes that were read long ago keep other bodies out'],
        ["? 'SendUpstream' : 'Send'", "? 'Send' : 'Send'", 'whoever may ping may have the backend ping another'],
        ["only(['GET', 'POST'],", "only(['GET', 'POST', 'PUT'],", 'PUT is a ping'],
        ["flag(scope, 'upstream') ? sendUpstream : send", 'send', '?upstream=true does not ask the upstream'],
      ],
    },
    {
      file: 'src/functions/mcp.ts',
      by: ['test/functions/mcp-alone.test.ts'],
      changes: [
        ["mcpPaths: ['/', '/mcp'], ", '', 'agents that know only the URL of the function find nothing'],
        [', protocols: []', '', 'a function for agents serves REST, Connect and gRPC-Web'],
        ['mcp: true, ', '', 'FUNCTION_TARGET=mcp serves nothing'],
      ],
    },
    {
      file: 'src/functions/health.ts',
      by: ['test/functions/health-unknown.test.ts', 'test/http/rate-limit.test.ts', 'test/functions/health.test.ts'],
      changes: [
        ['  scope.note({backends})\n', '\n', 'the record of a failed probe does not say which backend failed'],
        ['scope.log.warn({err', 'scope.log.trace({err', 'nobody is told why a backend cannot be asked'],
        ['{err: cause, hint}', '{hint}', 'the cause of a failed probe is not logged'],
        ["${hint ? ` (${hint})` : ''}`)", '`)', 'the warning of a failed probe does not say what to do'],
        ['{exempt: true},', '{},', 'RATE_LIMIT refuses probes'],
        ["status !== 'SERVING' && !note", "status !== 'SERVING'", 'a backend that can be reached is 503'],
        ['{status: 503}', '{status: 200}', 'a backend that fails is 200'],
      ],
    },
  ],
}
