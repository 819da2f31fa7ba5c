import type {Room} from './mutations.ts'

const rest = ['test/functions/gateway.test.ts']
const streams = ['test/functions/gateway-streams.test.ts']
const connect = ['test/functions/gateway-connect.test.ts', 'test/functions/gateway-rpc-streams.test.ts']
const webSocket = ['test/functions/web-socket.test.ts']
const mcp = ['test/functions/mcp.test.ts']
const door = ['test/auth/door.test.ts']

export const gateway: Room = {
  tests: [
    'test/functions/{gateway*,mcp,web-socket,conventions,event-ids,admission,rpc-clients}.test.ts',
    'test/auth/{api-keys,contract,door,webhooks}.test.ts',
  ],
  files: [
    {
      file: 'src/gateway/gateway.ts',
      by: ['test/auth/contract.test.ts'],
      changes: [['access: accesses.get(match.binding)!,\n', '', 'AUTH_PUBLIC and AUTH_ALLOW do not hold for methods']],
    },
    {
      file: 'src/gateway/gateway.ts',
      by: ['test/auth/door.test.ts'],
      changes: [
        [
          'errorShape: settings.errors, access: accesses.get(match.binding)!}',
          'errorShape: settings.errors}',
          'AUTH_ALLOW does not hold for WebSockets',
        ],
        ['proofs: proofHeaders(config.auth),', '', 'a backend gets by REST the proofs that are for us'],
        [
          '{...metadataOptions(settings), proofs: proofHeaders(runtime.config.auth)}',
          'metadataOptions(settings)',
          'a backend gets by RPC the proofs that are for us',
        ],
      ],
    },
    {
      file: 'src/gateway/gateway.ts',
      by: ['test/functions/conventions.test.ts'],
      changes: [["error.code !== 'ABORTED' && ", '', 'an etag that is out of date is 409']],
    },
    {
      file: 'src/gateway/gateway.ts',
      by: ['test/functions/gateway-presets.test.ts'],
      changes: [['if (override) return', 'if (false) return', 'X-HTTP-Method-Override is not followed']],
    },
    {
      file: 'src/gateway/gateway.ts',
      by: ['test/functions/gateway-reflection.test.ts'],
      changes: [
        ['if (doubt) reply.catch', 'if (false) reply.catch', 'a method that is gone is called until the schema ends'],
        ['if (match.allow.length === 0) served.doubt?.()', '', 'a new method is 404 until the schema ends'],
      ],
    },
    {
      file: 'src/gateway/reflected.ts',
      by: ['test/functions/gateway-reflection.test.ts'],
      changes: [
        ['this.#pending ??= this.#ask()', 'this.#pending = this.#ask()', 'each request asks for the schema'],
        [
          'if (this.#made === undefined) throw fault',
          'throw fault',
          'a backend that is away for a moment takes the API with it',
        ],
        ['Date.now() < this.#askAgainAt ? this.#made : undefined', 'this.#made', 'a schema is used for ever'],
        [
          'else if (!/^google\\//.test(file.name) && !isSame(other.file, file)) {',
          'else if (false) {',
          'of two schemas one is called wrongly',
        ],
      ],
    },
    {
      file: 'src/gateway/read-requests.ts',
      by: [...rest, 'test/functions/gateway-limits.test.ts', 'test/functions/admission.test.ts', ...streams],
      changes: [
        ['if (isSent) scope.refuseCompressed()', '', 'a compressed body is read as it came'],
        ['if (isSent && request.check) await refuseBody(scope, request.check)', '', 'a body is dropped silently'],
        ['scope.bytes(limits.maxBodyBytes)', 'scope.bytes(1e9)', 'GATEWAY_MAX_BODY_BYTES does not hold'],
        ['maxParts: limits.maxBodyValues', 'maxParts: 1e9', 'a form is taken apart that has too many parts'],
        ['await within(scope.signal, promise)', '', 'a message that waits is not counted once another comes'],
        ['scope.holdPart(stream.held)\n      sent()', 'sent()', 'bytes that have been sent take room'],
        [
          'scope.hold(message.length)\n  }\n\n  get',
          '}\n\n  get',
          'a message that waits takes the room of its body, however large it is',
        ],
        ['    this.#message = undefined\n    this.#scope.hold(0)\n', '', 'each stream keeps its request to its end'],
      ],
    },
    {
      file: 'src/gateway/metadata.ts',
      by: ['test/functions/gateway-metadata.test.ts'],
      changes: [
        [
          '(metadata ?? []).filter((key) => !mayBeSet(key))',
          '[] as string[]',
          'callers set what the platform is believed for',
        ],
      ],
    },
    {
      file: 'src/gateway/metadata.ts',
      by: ['test/functions/gateway-app.test.ts'],
      changes: [['if (isGrpc(call)) {', 'if (true) {', 'headers of a front end reach the caller']],
    },
    {
      file: 'src/gateway/metadata.ts',
      by: ['test/functions/gateway-presets.test.ts'],
      changes: [['if (!/(?:^|,)', 'if (/(?:^|,)', 'trailers go to those who ask for none']],
    },
    {
      file: 'src/gateway/metadata.ts',
      by: ['test/auth/door.test.ts'],
      changes: [
        ['...issuers.map(({header}) => header), ', '', 'a backend gets the proofs that are for us'],
        [
          "names.map((name) => name.replaceAll('_', '-'))",
          'names',
          'a backend gets proofs from a header with underscores',
        ],
      ],
    },
    {
      file: 'src/gateway/metadata.ts',
      by: ['test/auth/webhooks.test.ts'],
      changes: [[', ...webhooks.map(({header}) => header)]', ']', 'a backend gets the signatures that are for us']],
    },
    {
      file: 'src/gateway/metadata.ts',
      by: ['test/auth/api-keys.test.ts'],
      changes: [["apiKeys === undefined ? [] : ['x-api-key']", '[]', 'a backend gets the keys of callers']],
    },
    {
      file: 'src/gateway/answers.ts',
      by: [...streams, 'test/functions/gateway-metadata.test.ts', 'test/functions/conventions.test.ts'],
      changes: [
        ['endWith(scope, answers)\n  if', 'if', 'a stream goes on for a caller who hung up'],
        ['headFirst: !isAnswered,', '', 'the head waits for the first answer'],
        ['/^2(?!0[56])\\d\\d$/', '/^\\d\\d\\d$/', 'a backend answers 500 with a message'],
      ],
    },
    {
      file: 'src/gateway/with-pauses.ts',
      by: ['test/gateway/with-pauses.test.ts'],
      changes: [
        ['this.#timer.refresh()', '', 'a proxy ends a silent event stream'],
        ['if (!this.#isAsked) this.#ask()', 'this.#ask()', 'each pause takes memory, and messages are lost'],
        ['else this.#arrived = result', '', 'a message that arrives during a pause is lost'],
        ['    clearTimeout(this.#timer)\n    await', '    await', 'a timer is left after each stream'],
        ['await this.#source.return?.()', '', 'a stream goes on for a caller who hung up'],
      ],
    },
    {
      file: 'src/gateway/rpc/answer.ts',
      by: connect,
      changes: [
        ["if (form.protocol === 'connect' && !got) checkVersion(scope)", '', 'another version of Connect is taken'],
        ['endWith(scope, answers)', '', 'a stream goes on for a caller who hung up'],
        [
          ' && !parameters.some((parameter) => /^q=0(?:\\.0*)?$/.test(parameter))',
          '',
          'gzip goes to those who refuse it',
        ],
        [
          '    yield encoded(form, endFrame(form.protocol, undefined, trailersOf(call)))\n',
          '',
          'a stream that is whole looks cut',
        ],
        ['endsCleanly: () => true,', '', 'why a stream failed is lost'],
        ['...trailersInHead(call),', '', 'trailers of unary calls are lost'],
        ['headFirst: !isAnswered,', '', 'the head waits for the first answer'],
      ],
    },
    {
      file: 'src/gateway/rpc/answer.ts',
      by: ['test/functions/gateway-validation.test.ts'],
      changes: [['check: served.checkOf(method)', 'check: undefined', 'GATEWAY_VALIDATE does not hold for RPC']],
    },
    {
      file: 'src/gateway/rpc/failure.ts',
      by: [...connect, 'test/auth/door.test.ts'],
      changes: [
        ['isUnknownPath(method, fault) ? 404 : httpStatus[error.code]', '200', 'a failed call is 200'],
        [
          "method === undefined && code === 'NOT_FOUND'",
          'method === undefined',
          'who may not call is told which paths there are',
        ],
        ['...trailersInHead(call),', '', 'metadata of a failure is lost'],
      ],
    },
    {
      file: 'src/gateway/rpc/paths.ts',
      by: ['test/functions/gateway-reflection.test.ts'],
      changes: [
        ['if (doubt) reply.catch', 'if (false) reply.catch', 'a method that is gone is called until the schema ends'],
      ],
    },
    {
      file: 'src/gateway/rpc/requests.ts',
      by: [...connect, 'test/functions/admission.test.ts'],
      changes: [
        ['if (found) throw notOne', 'if (false) throw notOne', 'of two messages the last one counts'],
        ['if (!found) throw notOne', 'if (false) throw notOne', 'no message is an error of ours'],
        ['splitter.end()\n  if', 'if', 'half a message is dropped silently'],
        ['  }\n  splitter.end()\n}', '  }\n}', 'half a message of a stream is dropped silently'],
        ['if (length > limit) throw', 'if (false) throw', 'GATEWAY_MAX_BODY_BYTES does not hold for messages of RPC'],
        ['if (flags !== 0 && !isCompressed) {', 'if (false) {', 'a compression without a name is guessed'],
        ['if ((flags & ~compressedFlag) !== 0) {', 'if (false) {', 'unknown flags are dropped silently'],
        ['{limit: maxBytes, hold', '{limit: 1e9, hold', 'a small body is inflated into the memory'],
        ['await within(scope.signal, promise)', '', 'a message that waits is not counted once another comes'],
        ['scope.refuseCompressed()\n', '\n', 'a stream that is compressed as a whole is read as it came'],
      ],
    },
    {
      file: 'src/transcoding/rpc/frames.ts',
      by: ['test/transcoding/rpc.test.ts', ...connect],
      changes: [
        ['this.#check(this.#prefix[0]!, this.#length)', '', 'a message of 4 GiB is awaited'],
        ['if (this.held === 0) return', 'return', 'half a message is dropped silently'],
        ['grown.set(this.#data.subarray(0, this.#filled))', '', 'a message that comes in three pieces is broken'],
        ['new DataView(frame.buffer).setUint32(1, data.length)', '', 'answers are empty'],
      ],
    },
    {
      file: 'src/transcoding/rpc/wire-check.ts',
      by: ['test/transcoding/rpc.test.ts', 'test/functions/gateway-limits.test.ts', ...connect],
      changes: [
        ['if (level > recursionLimit) throw', 'if (false) throw', 'a message that nests deeply is passed on'],
        ['missing?.delete(number)', '', 'a message of proto2 is refused'],
        ['count.add(1)\n    missing', 'missing', 'a message of a million fields is read'],
        ['if (field) checkType(field, type)', '', 'a field of another type is passed on'],
        [
          'place.count.add(Math.max(0, packedCount(field.scalar, value) - 1))',
          '',
          'a million numbers in a field are read',
        ],
        ['if (!field.utf8Validation || isAscii(value)) return', 'return', 'text that is none is passed on'],
        ['count.addFieldsOf(desc)', '', 'messages that are large when they are empty fill the memory'],
        [
          'for (const number of missing ?? []) refuseMissing(fields.get(number)!)',
          '',
          'a required field of proto2 is not asked for',
        ],
      ],
    },
    {
      file: 'src/gateway/mcp/server.ts',
      by: mcp,
      changes: [
        ['.filter(({access}) => scope.may(access.name))', '', 'tools are listed that the caller may not call'],
        [
          '.filter(({binding}) => scope.may(nameOf(binding.method)))',
          '',
          'resources are listed that the caller may not read',
        ],
        ['if (size > maxResult) {', 'if (false) {', 'a stream without end fills the memory'],
        [
          'endWith(scope, answers)',
          '',
          'a stream goes on for a client who hung up',
          'its call ends with the request as well',
        ],
        ['{isError: true, content', '{content', 'a failure is told as a result'],
        ['.filter(([name]) => !ofRequest.has(name))', '', 'a resource is answered with 304'],
      ],
    },
    {
      file: 'src/gateway/mcp/answer.ts',
      by: mcp,
      changes: [
        ['if (Array.isArray(body)) throw', 'if (false) throw', 'a batch makes calls that no limit counts'],
        ['await scope.admit(catalog.accessFor(body))', '', 'everybody may call tools'],
        ['new ValueCount(maxValues)', 'new ValueCount(1e9)', 'GATEWAY_MAX_BODY_VALUES does not hold for MCP'],
        [
          'scope.bytes(served.settings.maxBodyBytes)',
          'scope.bytes(1e9)',
          'GATEWAY_MAX_BODY_BYTES does not hold for MCP',
        ],
      ],
    },
    {
      file: 'src/gateway/web-socket.ts',
      by: [...webSocket, 'test/auth/door.test.ts'],
      changes: [
        ['if (token !== undefined) return token', '', 'a browser that offers its token alone gives up'],
        [
          'maxFrameBytes: settings.maxBodyBytes',
          'maxFrameBytes: 1e9',
          'GATEWAY_MAX_BODY_BYTES does not hold for frames',
        ],
        [
          'if (known !== undefined || offered.length === 0) return known',
          'return known',
          'unknown subprotocols are taken',
        ],
      ],
    },
    {
      file: 'src/http/response/web-socket.ts',
      by: webSocket,
      changes: [
        [
          'if (this.#queued > maxQueuedBytes || this.#queue.length > maxQueuedFrames) this.#ws.pause()',
          '',
          'frames fill the memory',
        ],
        ['clearInterval(this.#pings)', '', 'a timer is left after each WebSocket'],
        [
          'if (!(await atMost(linger, this.#closed.promise))) ws.terminate()',
          '',
          'a caller who does not close holds the request',
        ],
        ['life.fail(hungUp())\n      this.#closed', 'this.#closed', 'a call goes on for a caller who hung up'],
        ['if (fault && ws.readyState === ws.OPEN) ws.send', 'if (false) ws.send', 'the caller does not hear why'],
        ['ownCloseCodes + codes[fault.code]', '1011', 'the close code says nothing'],
        ['this.#life.hold(this.#queued + this.#taken)', '', 'frames take no room'],
        [
          'if (this.#isComplete)\n      this.#life.fail(',
          'if (false)\n      this.#life.fail(',
          'frames after the end are sent on',
        ],
        ['await within(this.#life.signal, promise)', '', 'a caller who does not read fills the memory'],
        ['perMessageDeflate: false,', 'perMessageDeflate: true,', 'a small frame is inflated into the memory'],
      ],
    },
    {
      file: 'src/gateway/schema.ts',
      by: ['test/functions/gateway-start.test.ts'],
      changes: [
        [
          'new Set([documentPath, livePath, ...taken])',
          'new Set([documentPath, ...taken])',
          'a rule at /health/live is accepted, and never reached',
        ],
        ["(httpMethod !== 'CONNECT' && ", '(', 'a rule for CONNECT is accepted, and never reached'],
        ['`${path}${verb && `:${verb}`}`', 'path', 'a rule beside a path of the functions is refused for its verb'],
      ],
    },
    {
      file: 'src/gateway/exposure.ts',
      by: ['test/functions/gateway-exposure.test.ts'],
      changes: [
        ['slice(0, most).map((problem)', 'map((problem)', 'thousands of lines at each start'],
        ["all.slice(0, most).join(', ') + more", "all.join(', ') + more", 'the line at start is cut, and no JSON'],
        ["others.join('; ') || 'nothing'", "others.join('; ')", 'the line does not say that everything is served'],
      ],
    },
    {
      file: 'src/gateway/mcp/selection.ts',
      by: mcp,
      changes: [
        [
          'rules.find(({target}) => target === nameOf(method)) ?? rules.find(({target}) => target === method.parent.typeName)',
          'rules.find(({target}) => target === nameOf(method) || target === method.parent.typeName)',
          'MCP_TOOLS does not name a method behind its service',
        ],
        [
          'options.get(method)?.hidden ? rule?.target === nameOf(method) : ',
          '',
          'a method that its proto hides is a tool',
        ],
        [
          'for (let nth = 2; used.has(name); nth++) name = `${base.slice(0, maxName - 4)}_${nth}`',
          '',
          'two tools have one name: clients refuse all',
        ],
        [
          "isAmbiguous ? parent.typeName.replaceAll('.', '_') : parent.name",
          'parent.name',
          'an agent cannot tell the tools of two services apart',
        ],
        ['if (name.length <= maxName) return name', 'return name', 'a name is too long: clients refuse all tools'],
        [
          'ruleOf(method)?.name ?? options.get(method)?.name',
          'options.get(method)?.name ?? ruleOf(method)?.name',
          'MCP_TOOLS does not rename a tool that its proto names',
        ],
        [
          "if (name !== '' && !/^[\\w-]{1,64}$/.test(name))",
          'if (false)',
          'a name in a proto that clients refuse is served',
        ],
      ],
    },
    {
      file: 'src/gateway/rules-file.ts',
      by: ['test/functions/gateway-rules.test.ts'],
      changes: [
        ["if (pattern === '*') return [...names]", '', 'a deadline for all methods holds for none'],
        [
          'name.startsWith(pattern.slice(0, -1))',
          'name.startsWith(pattern.slice(0, -2))',
          'a rule holds for a service whose name begins alike',
        ],
        ["selector.split(',')", '[selector]', 'a rule for several methods is refused'],
        ["return [fields.get('name'), ...mixed]", "return [fields.get('name')]", 'mixins of an API are not served'],
        ['this.#yaml.isAlias(node) ? node.resolve(this.#document!) : node', 'node', 'a file with aliases is refused'],
        [
          'else if (fields.has(snake)) this.#report',
          'else if (false) this.#report',
          'of two values of a field one is lost',
        ],
        ['deadline: seconds * 1000', 'deadline: seconds', 'a deadline of a minute is 60 ms'],
        ['!(seconds > 0)', 'seconds < 0', 'a deadline of 0 is accepted, and each call fails'],
      ],
    },
    {
      file: 'src/gateway/metadata.ts',
      by: ['test/functions/gateway-metadata.test.ts'],
      changes: [
        ['before === undefined ? value : [before, value].flat()', 'value', 'of several values of metadata one is left'],
        ["[value].flat().join(', ')", '[value].flat()[0]!', 'of several values of metadata of a failure one is left'],
        ['{...headersOf(call), ...trailersOf(call)}', 'headersOf(call)', 'trailers are lost'],
      ],
    },
    {
      file: 'src/gateway/rpc/paths.ts',
      by: ['test/functions/gateway-connect.test.ts'],
      changes: [
        [
          "return protocols.has('connect') && isConnectQuery(rawQuery)",
          'return isConnectQuery(rawQuery)',
          'GET of Connect is served although it is off',
        ],
        [
          "this.#protocols.has('connect') && mayBeGot(method) ?",
          'mayBeGot(method) ?',
          'Allow names GET where Connect is off',
        ],
        ["? ['GET', 'HEAD', 'POST'] : ['POST']", "? ['GET', 'POST'] : ['POST']", 'Allow does not name HEAD'],
        ["if (verb === 'OPTIONS') return {status: 204, allow}", '', 'OPTIONS at a path of RPC is 405'],
        [
          "methodKind === 'unary' && idempotency === Level.NO_SIDE_EFFECTS",
          "methodKind === 'unary'",
          'a link calls a method that changes something',
        ],
        ['if (fault.ownHttpStatus !== 415) return shown', 'return shown', 'a 415 does not say what is accepted'],
      ],
    },
    {
      file: 'src/gateway/schema.ts',
      by: door,
      changes: [
        [
          '  refusePathsOfMethods(transcoder, auth)\n',
          '',
          'a path of a method in AUTH_PUBLIC opens nothing, without a word',
        ],
        [
          'let unknown = named.filter(({name}) => !known.includes(name))',
          'let unknown = named.filter(() => false)',
          'a misspelt method in AUTH_ALLOW is open to all who are verified',
        ],
      ],
    },
    {
      file: 'src/console/schema.ts',
      by: ['test/console/schema.test.ts'],
      changes: [
        [
          'method.deprecated || service.deprecated',
          'method.deprecated',
          'the page does not mark methods of a service to avoid',
        ],
        ['template.verb && `:${template.verb}`', "''", 'the page calls another method'],
        ['encodeURIComponent(segment.text)', 'segment.text', 'the page calls a path that does not exist'],
        [
          'isSingular && !field.oneof && presence',
          '!field.oneof && presence',
          'the page asks whether a message is set',
        ],
        ['a.typeName < b.typeName ? -1 : 1', 'a.typeName > b.typeName ? -1 : 1', 'services are in no order'],
        ['special.test(typeName) || this.#known', 'this.#known', 'the page has no input for times'],
      ],
    },
    {
      file: 'src/gateway/schema.ts',
      by: ['test/functions/gateway-rules.test.ts'],
      changes: [
        [
          "config.pathDecoding !== 'first' && ",
          '',
          'fully_decode_reserved_expansion switches GATEWAY_PATH_DECODING=first off',
        ],
        [
          "...(rules.fullyDecode && config.pathDecoding !== 'first' && {pathDecoding: 'all' as const}),",
          '',
          'fully_decode_reserved_expansion has no effect',
        ],
      ],
    },
    {
      file: 'src/gateway/mcp/catalog.ts',
      by: ['test/functions/mcp.test.ts', 'test/auth/door.test.ts'],
      changes: [
        ['if (tool) return tool.access\n', '\n', 'AUTH_ALLOW and keys do not hold for tools'],
        [
          'if (match) return {name: nameOf(match.binding.method)}\n',
          '\n',
          'AUTH_ALLOW and keys do not hold for resources',
        ],
        [' && this.#resources.has(match.binding)', '', 'agents read resources of methods that are no tools'],
        [
          'if (path === undefined || !isUtf8(path)) return',
          'if (path === undefined) return',
          'a malformed URI is an error of the server',
        ],
      ],
    },
    {
      file: 'src/gateway/mcp/failure.ts',
      by: ['test/functions/mcp.test.ts'],
      changes: [['unread.has(fault) ? parseError : ', '', 'malformed JSON is told as a malformed request']],
    },
    {
      file: 'src/gateway/contract.ts',
      by: ['test/auth/contract.test.ts'],
      changes: [
        ['if (problems.length > 0) throw', 'if (false) throw', 'a method that demands verified callers is open'],
        ['runtime.log.warn(`AUTH', 'runtime.log.trace(`AUTH', 'nobody is told that the options are not enforced'],
        ['if (other)\n', 'if (false)\n', 'an option of another with our number opens or closes methods'],
      ],
    },
    {
      file: 'src/gateway/rpc/metadata.ts',
      by: ['test/functions/gateway-connect.test.ts', 'test/functions/gateway-app.test.ts'],
      changes: [
        ['`trailer-${name}`', 'name', 'callers of Connect get trailers as headers'],
        ['call?.header && isGrpc(call) ?', 'call?.header ?', 'callers of Connect get headers of a front end'],
        [
          'call?.trailer && isGrpc(call) ?',
          'call?.trailer ?',
          'callers of Connect get headers of a front end as trailers',
        ],
      ],
    },
    {
      file: 'src/console/console.ts',
      by: ['test/console/console.test.ts'],
      changes: [
        [
          '"frame-ancestors \'none\'",\n',
          '\n',
          'another site shows the page in a frame, and has its visitors click on it',
        ],
        [", vary: 'accept'", '', 'a cache gives the page to callers that are no browsers'],
      ],
    },
    {
      file: 'src/gateway/validation.ts',
      by: ['test/functions/gateway-validation.test.ts'],
      changes: [
        ['.slice(0, maxReason)', '', 'the reason of a violation is longer than error_details.proto allows'],
        [".replace(/_$/, '')", '', 'the reason of a violation ends with an underscore'],
        [".replace(/^[^A-Z]+/, '')", '', 'the reason of a violation begins with a digit'],
        ["${forKey ? ' (the key)' : ''}", '', 'nobody can tell whether the key or the value of a map is wrong'],
      ],
    },
  ],
}
