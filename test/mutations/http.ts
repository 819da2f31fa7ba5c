import type {Room} from './mutations.ts'

const every = ['test/http/every-answer.test.ts']
const scope = ['test/http/scope.test.ts']
const stream = ['test/http/stream.test.ts', 'test/http/stream-format.test.ts']
const body = ['test/http/body.test.ts']
const malformed = ['test/http/malformed.test.ts', 'test/http/raw-requests.test.ts']
const hangUp = ['test/http/hang-up.test.ts']
const deadline = ['test/http/deadline.test.ts']
const admission = ['test/functions/admission.test.ts', 'test/functions/bounds.test.ts']
const door = ['test/auth/door.test.ts']
const log = ['test/log.test.ts']

export const http: Room = {
  tests: [
    'test/http/*.test.ts',
    'test/functions/{admission,bounds,gateway-app,gateway-browsers,gateway-limits,pages}.test.ts',
    'test/{log,fault}.test.ts',
    'test/auth/door.test.ts',
    'test/core/waiting.test.ts',
  ],
  files: [
    {
      file: 'src/http/serve.ts',
      by: [...scope, ...every, ...hangUp],
      changes: [
        ['const abortGrace = 500', 'const abortGrace = 500_000', 'work that does not end holds the answer'],
        [
          'if (!this.#response.writableFinished) this.lazySignal.abort(hungUp())',
          '',
          'work goes on for a caller who hung up',
        ],
        [
          "this.#response.on('error', () => {})",
          '',
          'a write after the end ends the process',
          'nothing is written after an end: a second guard',
        ],
        ['checkHead(this.#request)', '', 'two Host headers pass'],
        [
          'clearTimeout(this.#timer)\n      this.#account',
          'this.#account',
          'a timer is left after each request',
          'close() has stopped it before, however the request ended',
        ],
        ['this.#account.close()', '', 'bytes of bodies are counted for ever'],
        [
          'Math.min(callerTimeout(this.headers), ',
          'Math.max(callerTimeout(this.headers), ',
          'a caller lengthens the deadline',
        ],
        [
          'if (this.responder.begun) this.responder.cut()',
          'if (this.responder.begun) {}',
          'a stream that failed looks complete',
        ],
        ['/^[\\x21-\\x7e]{1,128}$/.test(header)', 'true', 'a request id splits a header'],
        ['while (this.#work.size > 0) await Promise.allSettled(this.#work)', '', 'work goes on after the answer'],
      ],
    },
    {
      file: 'src/http/serve.ts',
      by: deadline,
      changes: [['const timeToAnswer = 1000', 'const timeToAnswer = 0', 'Cloud Run ends the request before our 504']],
    },
    {
      file: 'src/http/serve.ts',
      by: admission,
      changes: [
        ['this.#admission.enter()', '', 'an instance takes requests without end'],
        ['if (entered) this.#admission.leave()', '', 'an instance refuses everything after a thousand requests'],
      ],
    },
    {
      file: 'src/http/serve.ts',
      by: ['test/functions/pages.test.ts', ...door, 'test/http/rate-limit.test.ts'],
      changes: [
        ['refuseCrossSite(this)', '', 'any page posts in the name of its reader'],
        ['await this.#enterDoor(handler)', '', 'everybody may call'],
        ['if (isRefused || !handler.exempt) await this.#limitRate()', '', 'RATE_LIMIT does not hold'],
        ['isRefused || !handler.exempt', '!handler.exempt', 'keys are guessed at /health, without a limit'],
        ['if (error instanceof Fault) throw error', 'throw error', 'a store of rates that is away fails every request'],
      ],
    },
    {
      file: 'src/http/serve.ts',
      by: ['test/http/shutdown.test.ts'],
      changes: [
        ['if (isStopping()) throw', 'if (false) throw', 'an instance that stops takes requests'],
        ['if (this.lazySignal.reason) return false', '', 'what is thrown after a request is not logged'],
      ],
    },
    {
      file: 'src/core/lazy-signal.ts',
      by: ['test/core/lazy-signal.test.ts', ...hangUp],
      changes: [
        [
          'if (this.#reason) this.#controller.abort(this.#reason)',
          '',
          'work that begins late does not learn that its request is over',
        ],
        ['if (this.#reason) return', '', 'the reason of an abort changes afterwards'],
        ['this.#controller?.abort(reason)', '', 'what waits with a signal goes on after its request'],
        ['this.#listeners.clear()', '', 'a request that is over keeps its calls in memory'],
        ['if (!this.#reason) this', 'this', 'what listens too late stays in memory'],
      ],
    },
    {
      file: 'src/http/response/send.ts',
      by: [...stream, ...every, ...scope, 'test/functions/gateway-browsers.test.ts'],
      changes: [
        ["'x-content-type-options': 'nosniff',", '', 'a browser runs JSON as a page'],
        ["'x-request-id': life.id,", '', 'an answer has no request id'],
        ['  await life.close(over)\n  if (life.isObserved)', '  if (life.isObserved)', 'work goes on after the answer'],
        ["method !== 'HEAD' && ", '', 'HEAD has a body'],
        [' && Buffer.byteLength(body) === body.length', '', 'a short text with more than ASCII is broken'],
        ['status === 204 || ', '', '204 has a body'],
        ['if (!next?.done) stop(chunks, life)', '', 'HEAD leaves a stream open'],
        [
          'stop(chunks, life)\n    await life.close(fault)',
          'await life.close(fault)',
          'a source is not ended when its stream fails',
        ],
        ['if (!next.done) chunk(next.value)', '', 'a chunk that is no text ends the process'],
        [
          '    await life.close(over)\n    if (life.isObserved)',
          '    if (life.isObserved)',
          'work goes on after the last byte',
        ],
        ['if (endsCleanly?.(fault)) await', 'if (false) await', 'a browser repeats a call that cannot succeed'],
        [
          'const vary = [life.responseHeaders.vary, headers.vary]',
          'const vary = [headers.vary]',
          'a cache gives one site the answer for another',
        ],
      ],
    },
    {
      file: 'src/http/response/responder.ts',
      by: [...stream, ...hangUp, ...body, ...malformed, 'test/http/shutdown.test.ts'],
      changes: [
        [
          'if (this.#response.write(bytes, () => resolve())) return',
          'this.#response.write(bytes, () => resolve())\n    if (this.bytes > 0) return',
          'a slow reader fills the memory',
        ],
        ['this.isLast ||= isStopping()', '', 'connections are kept while the instance stops'],
        ['discard(this.#request, this.#response)', '', 'a connection hangs behind a body that nobody reads'],
        ["this.#request.httpVersion === '1.0' || ", '', 'an HTTP/1.0 caller takes a broken stream for whole'],
        ['this.#response.writeContinue()', '', 'a caller who expects 100-continue waits'],
      ],
    },
    {
      file: 'src/http/response/responder.ts',
      by: [...deadline, ...log],
      changes: [
        [
          'if (await atMost(Math.max(deadline - Date.now(), minReadTime), left)) return',
          'await left',
          'a caller who does not read holds the answer for ever',
        ],
        ['this.bytes += Buffer.byteLength(bytes)', '', 'the log has another size'],
        ['this.gone || this.#response.writableEnded', 'this.gone', 'a failure is written after the end'],
      ],
    },
    {
      file: 'src/http/request/body.ts',
      by: [...body, ...deadline, ...admission],
      changes: [
        [
          'const maxDiscarded = 1024 * 1024',
          'const maxDiscarded = 1024 * 1024 * 1024 * 1024',
          'a body without end is read behind a 404',
        ],
        ['if (announced > limit) throw tooLong(limit)', '', 'a body that is too long is read before it is refused'],
        [
          'if (buffer.length + piece.length > limit) throw tooLong(limit)',
          '',
          'a body without a length fills the memory',
        ],
        ['account.expect(announced)', '', 'bodies beyond the budget are begun'],
        [
          'await within(signal, pieces.next())',
          'await pieces.next()',
          'a body that does not come holds the request beyond its deadline',
        ],
        ['this.#begin(piece.subarray(copied))', 'this.#begin(piece)', 'a body of small pieces is broken'],
        ['this.#room = this.#room.subarray(copied)', '', 'a body of small pieces is broken'],
        ["encoding.toLowerCase() === 'identity'", "encoding === 'identity'", 'Content-Encoding: Identity is refused'],
        ["request.removeAllListeners('readable')", '', 'a connection hangs behind a body that was half read'],
      ],
    },
    {
      file: 'src/http/admission.ts',
      by: admission,
      changes: [
        ['if (this.#requests >= limit) {', 'if (this.#requests > limit) {', 'one request more than the limit'],
        ['for (const account of this.#arriving) account.giveWay()', '', 'ten slow bodies shut all others out'],
        ['const patience = 5000', 'const patience = 0', 'a body is refused for a short pause'],
        [' || this.#bytes === held', '', 'a body of more than the budget is refused by an idle instance'],
        ['retryAfter,\n    hint: `${setting}', 'hint: `${setting}', '429 without Retry-After'],
        ['this.#closed = true', '', 'a body that gave way is counted again'],
      ],
    },
    {
      file: 'src/http/rate-limit.ts',
      by: ['test/http/rate-limit.test.ts'],
      changes: [
        ['const maxCallers = 10_000', 'const maxCallers = 10_000_000', 'a million addresses fill the memory'],
        ['if (!window || window.end <= now) {', 'if (!window) {', 'a caller is refused for ever'],
        ['if (count <= requests) return', 'if (count < requests) return', 'one request less than the limit'],
        ['.slice(0, 4)', '.slice(0, 8)', 'a caller with an IPv6 network has no limit'],
        ['retryAfter: secondsOf(endsIn),', '', '429 without Retry-After'],
      ],
    },
    {
      file: 'src/http/response/failure.ts',
      by: [...every, ...scope, 'test/fault.test.ts', 'test/functions/{ping,bounds}.test.ts'],
      changes: [
        ['DEADLINE_EXCEEDED: 504,', 'DEADLINE_EXCEEDED: 503,', 'a timeout is 503'],
        ['RESOURCE_EXHAUSTED: 429,', 'RESOURCE_EXHAUSTED: 503,', 'too much is 503'],
        ["...(retryAfter !== undefined && {'retry-after': String(retryAfter)}),", '', 'no Retry-After'],
        ['...(httpStatusOf(fault) === 401 && challenge),', '', '401 without WWW-Authenticate'],
        ['const maxDetails = 32 * 1024', 'const maxDetails = 32 * 1024 * 1024', 'an error of a backend is megabytes'],
      ],
    },
    {
      file: 'src/http/request/framing.ts',
      by: malformed,
      changes: [
        ['if (times !== 1) throw', 'if (times > 1) throw', 'a request without Host passes'],
        [
          "if (codings.at(-1) !== 'chunked') {",
          'if (false) {',
          'a body without an end passes',
          "Node's parser refuses it before, unless it is told to be lenient",
        ],
        ['if (!hostForm.test(host!)) throw', 'if (false) throw', 'a Host that is none passes'],
        ["httpVersion !== '1.1' && httpVersion !== '1.0'", "httpVersion === ''", 'HTTP/0.9 is answered as 1.1'],
      ],
    },
    {
      file: 'src/http/response/stream-format.ts',
      by: stream,
      changes: [
        ["json.replaceAll(/[\\r\\n]+/g, ' ')", 'json', 'a message with a line break is two'],
        ["end: () => (separator === '[' ? '[]' : ']'),", "end: () => ']',", 'an empty array is not JSON'],
        ["fail: () => '',", "fail: () => ']',", 'an array that failed looks whole'],
        ["separator = ',\\n'", "separator = '\\n'", 'an array without commas'],
      ],
    },
    {
      file: 'src/core/event-stream.ts',
      by: [...stream, 'test/functions/browser.test.ts', 'test/functions/gateway-streams.test.ts'],
      changes: [
        ['String(++this.#count)', 'String(this.#count)', 'events have the same id'],
        [
          'const lines = data.split(/\\r\\n|[\\r\\n]/)',
          'const lines = data.split(/\\n/)',
          'a carriage return breaks an event',
        ],
        ['endsWith(endMark)', "endsWith('never')", 'a browser repeats a call that has ended'],
        ['UNAVAILABLE: true,', 'UNAVAILABLE: false,', 'a browser does not come again after a restart of the backend'],
      ],
    },
    {
      file: 'src/http/request/deadline.ts',
      by: deadline,
      changes: [
        ['m: 1,', 'm: 10,', 'a timeout of milliseconds is ten times as long'],
        ['return seconds * 1000', 'return seconds', 'a timeout of seconds is one of milliseconds'],
        ['Math.min(grpcTimeout', 'Math.max(grpcTimeout', 'the longer of two timeouts holds'],
        ['if (!(seconds >= 0)) {', 'if (false) {', 'a timeout that is none is kept'],
      ],
    },
    {
      file: 'src/http/request/cors.ts',
      by: ['test/functions/gateway-browsers.test.ts', 'test/functions/pages.test.ts', ...every],
      changes: [
        ["if (!any) scope.responseHeaders.vary = 'origin'", '', 'a cache gives one site the answer for another'],
        [
          'if (origin === undefined || !isAllowedOrigin(scope, origin)) return',
          'if (origin === undefined) return',
          'every site may read',
        ],
        ["scope.responseHeaders['access-control-expose-headers'] = '*'", '', 'a page cannot read the request id'],
        ["scope.responseHeaders['access-control-max-age'] = String(remembered)", '', 'each call of a page is two'],
      ],
    },
    {
      file: 'src/http/record/logged-url.ts',
      by: ['test/http/logged-url.test.ts'],
      changes: [
        ['harmless.has(decoded(name)) && plainWord.test(value)', 'true', 'values of queries are in the log'],
        ["path.split('#', 1)[0]!", 'path', 'fragments are in the log'],
        ['const leastValue = 4', 'const leastValue = 400', 'values of queries are in the log, by way of messages'],
      ],
    },
    {
      file: 'src/http/record/record.ts',
      by: log,
      changes: [
        ["worst >= 500 ? 'error'", "worst >= 600 ? 'error'", 'failures of ours are warnings'],
        ["fault.hint ? ` (${fault.hint})` : ''", "''", 'the log does not say what to do'],
      ],
    },
    {
      file: 'src/http/record/remote-ip.ts',
      by: ['test/http/rate-limit.test.ts', ...scope],
      changes: [['entries.length - 1 - trustedHops', '0', 'a caller chooses its own address']],
    },
    {
      file: 'src/core/waiting.ts',
      by: ['test/core/waiting.test.ts', ...scope],
      changes: [
        ['clearTimeout(timer)', '', 'a timer is left after each wait'],
        ['work.then(settled, settled)', '', 'a listener is left after each wait'],
      ],
    },
    {
      file: 'src/http/response/reply.ts',
      by: [...scope, ...stream],
      changes: [
        ['if (this.#hasEnded) return Promise', 'if (false) return Promise', 'a stream has no end'],
        ['await this.#values.return?.()', 'this.#values.return?.()', 'an answer ends before its source has ended'],
        ['status < 200 || status > 599', 'status < 200 || status > 999', 'callers get a status that does not exist'],
        [
          "headers: {'content-type': jsonType, ...headers}",
          "headers: {...headers, 'content-type': jsonType}",
          'the type that a function names is replaced',
        ],
        ["'cache-control': 'no-store', ...headers}", '...headers}', 'a cache repeats an old stream'],
        [
          "'connection', 'content-length', 'keep-alive', 'transfer-encoding'",
          "'connection', 'keep-alive'",
          'the length that a function names cuts its answer',
        ],
      ],
    },
    {
      file: 'src/http/record/flushing.ts',
      by: ['test/functions/telemetry.test.ts'],
      changes: [
        ['if (Date.now() < (pausedUntil.get(flush) ?? 0)) return', '', 'broken telemetry delays every request'],
        [
          'const resume = () => pausedUntil.delete(flush)',
          'const resume = () => {}',
          'spans are lost for a while after a flush that hung',
        ],
        ["log.warn({err: error}, 'flush() failed')", 'throw error', 'broken telemetry breaks answers'],
      ],
    },
    {
      file: 'src/http/record/span-facts.ts',
      by: ['test/functions/telemetry.test.ts'],
      changes: [
        ["? 'https' : 'http'", "? 'http' : 'http'", 'spans on Cloud Run have the scheme http'],
        ['path: loggedPath(path)', 'path', 'a token in a fragment is in the spans'],
        ['remoteIp(request, config.trustedHops)', 'remoteIp(request, 0)', 'spans have the address of a proxy'],
        [
          'length === undefined ? undefined : Number(length)',
          'Number(length)',
          'spans of requests without a body have a size that is no number',
        ],
      ],
    },
    {
      file: 'src/http/record/trace.ts',
      by: log,
      changes: [
        [".padStart(16, '0')", '', 'the log line of a small span id belongs to no span'],
        ['& 1) === 1', '& 2) === 2', 'sampled traces are not marked in the log'],
        ['(?!0{32})', '', 'all requests without a trace id are one trace'],
        ['(?!0{16})', '', 'a log line belongs to a span that does not exist'],
      ],
    },
    {
      file: 'src/http/record/trace.ts',
      by: ['test/functions/app.test.ts'],
      changes: [
        [
          "['traceparent', 'tracestate', 'x-cloud-trace-context'] as const",
          "['traceparent', 'x-cloud-trace-context'] as const",
          'the trace of a vendor breaks off here',
        ],
      ],
    },
    {
      file: 'src/http/own-paths.ts',
      by: ['test/functions/app.test.ts'],
      changes: [
        ["method === 'GET' || method === 'HEAD' ? live", "method === 'GET' ? live", 'a probe by HEAD gets 404'],
        ["headers: {'cache-control': 'no-store'}", 'headers: {}', 'a cache answers probes of an instance that is gone'],
      ],
    },
    {
      file: 'src/http/own-paths.ts',
      by: door,
      changes: [
        ["? 'https' : 'http'\n  return URL", "? 'http' : 'http'\n  return URL", 'clients are told to log in over http'],
        ['if (resource !== undefined) return resource', '', 'clients are told to log in to an internal host'],
      ],
    },
    {
      file: 'src/http/own-paths.ts',
      by: ['test/functions/admission.test.ts'],
      changes: [['{exempt: true, access', '{access', 'a full instance is ended by its probe']],
    },
    {
      file: 'src/http/by-path.ts',
      by: ['test/auth/webhooks.test.ts'],
      changes: [
        ['named(path, make(runtime))', 'make(runtime)', 'AUTH_WEBHOOK=/upload and the like name nothing in app'],
      ],
    },
    {
      file: 'src/http/by-path.ts',
      by: ['test/functions/web-socket.test.ts'],
      changes: [
        ['webSockets: others.webSockets,', '', 'app opens no WebSockets'],
        ['errorShape: others.errorShape,', '', 'GATEWAY_ERRORS does not hold for what app refuses'],
      ],
    },
    {
      file: 'src/http/current-request.ts',
      by: ['test/http/malformed.test.ts', 'test/http/scope.test.ts'],
      changes: [
        [
          'if (response[failed]) request.fail(response[failed])',
          '',
          'a request whose body breaks before its function runs hangs until its deadline',
        ],
        ['else response[failed] = fault', '', 'so does one whose function has yet to be called'],
        ['response[answered].fail(fault)', 'response', 'a request whose body breaks hangs until its deadline'],
        ['current.run(request, work)', 'work()', 'an error in a timer belongs to no request, and ends the instance'],
      ],
    },
    {
      file: 'src/http/every-function.ts',
      by: ['test/functions/web-socket.test.ts'],
      changes: [
        ['errorShape: rest.errorShape, webSockets', 'errorShape: rest.errorShape', 'npm start opens no WebSockets'],
        [
          'errorShape: rest.errorShape, webSockets',
          'webSockets',
          'npm start does not show GATEWAY_ERRORS for what it refuses',
        ],
      ],
    },
    {
      file: 'src/http/request/methods.ts',
      by: ['test/functions/app.test.ts'],
      changes: [["|| (method === 'HEAD' && methods.includes('GET'))", '', 'HEAD is 405 where GET is served']],
    },
    {
      file: 'src/http/request/methods.ts',
      by: scope,
      changes: [['{...handler, methods})', '{methods})', 'a function that is restricted to methods is no longer open']],
    },
    {
      file: 'src/http/request/methods.ts',
      by: ['test/functions/pages.test.ts'],
      changes: [
        ["...(methods.includes('GET') ? ['HEAD'] : [])", '', 'Allow does not name HEAD'],
        ['if (isPreflight(scope)) return {status: 204}', '', 'no page may call'],
        [
          'return methods.length === 0 ? undefined : {status: 204, headers}',
          'return undefined',
          'OPTIONS reaches functions, which answer it as a call',
        ],
      ],
    },
    {
      file: 'src/http/response/upgrade.ts',
      by: ['test/functions/web-socket.test.ts'],
      changes: [
        ["if (version !== '13')", 'if (false)', 'a client of an older version gets frames that it cannot read'],
        [
          'request.headers.authorization ??= `Bearer ${token}`',
          'request.headers.authorization = `Bearer ${token}`',
          "a request's own authorization is replaced",
        ],
        [
          "headers: {'sec-websocket-version': '13', upgrade: 'websocket'},",
          '',
          'a client is not told which version is served',
        ],
      ],
    },
    {
      file: 'src/http/access.ts',
      by: ['test/auth/contract.test.ts'],
      changes: [
        [
          'openApi.security ?? (schemes.length > 0 ? schemes : undefined)',
          'schemes.length > 0 ? schemes : undefined',
          'OPENAPI_SECURITY has no effect with AUTH=jwt',
        ],
        [
          "claim === 'scope' || claim === 'scp' ? text",
          "claim === 'scope' ? text",
          'the description has no scopes of Entra ID',
        ],
        [
          'if (auth.issuers.some(({header}) => header === undefined)) schemes',
          'schemes',
          'the description names tokens that nobody accepts',
        ],
      ],
    },
    {
      file: 'src/http/response/compress.ts',
      by: ['test/functions/conventions.test.ts'],
      changes: [
        ["vary: 'accept-encoding'", "vary: 'accept'", 'a cache gives callers an encoding that they cannot read'],
        ['Buffer.byteLength(body) < worthIt', 'false', 'a short answer is longer for its compression'],
        [
          "if (encoding !== 'br' && encoding !== 'gzip') return",
          "if (encoding !== 'br') return",
          'callers that read only gzip get no compression',
        ],
      ],
    },
    {
      file: 'src/http/request/multipart.ts',
      by: ['test/functions/gateway.test.ts'],
      changes: [
        ['limits: {parts: Math.min(maxFormParts, maxParts)}', 'limits: {}', 'a small body has thousands of parts'],
        [
          'if (name === undefined) parser.destroy',
          'if (false) parser.destroy',
          'a part without a name is an error of ours',
        ],
      ],
    },
    {
      file: 'src/http/request/inflate.ts',
      by: ['test/http/inflate.test.ts'],
      changes: [
        ['      hold(length)\n', '', 'a small body is inflated into the memory'],
        ['if (length > limit)', 'if (piece.length > limit)', 'a small body is inflated without end'],
        ['if (error instanceof Fault) throw error\n', '', 'where there is no room, the answer is 400'],
      ],
    },
    {
      file: 'src/http/every-function.ts',
      by: ['test/functions/every-function.test.ts'],
      changes: [
        [
          'if (!(error instanceof ConfigError)) throw error\n',
          '',
          'a fault in a function is shown as missing configuration',
        ],
      ],
    },
    {
      file: 'src/http/every-function.ts',
      by: ['test/functions/every-function.test.ts'],
      changes: [
        [
          '      .filter(([name]) => !rest.paths?.includes(`/${name}`))\n',
          '',
          'the page shows a function that no request reaches',
        ],
        ['  rest.beside?.(handlers)\n', '\n', 'the page of npm start does not show the functions'],
        [
          'prepare: async (scope: Scope) => orOther(await prepare(scope)),',
          'prepare,',
          'with GATEWAY_SCHEMA=reflection npm start serves no other function',
        ],
        ['return prepare\n', 'return false\n', 'with GATEWAY_SCHEMA=reflection a method is not found by its body'],
      ],
    },
    {
      file: 'src/http/by-path.ts',
      by: ['test/functions/every-function.test.ts'],
      changes: [
        [
          '    beside: others.beside,\n',
          '\n',
          'the page of npm start does not show the functions that app does not have',
        ],
        ['    paths: others.paths,\n', '\n', 'the page shows a function whose path app has'],
      ],
    },
  ],
}
