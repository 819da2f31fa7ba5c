import type {FaultyFile} from './mutations.ts'

const conventional = ['test/functions/conventions.test.ts']
const metadata = ['test/transcoding/metadata.test.ts', 'test/functions/gateway-metadata.test.ts']
const connect = ['test/functions/gateway-connect.test.ts', 'test/functions/gateway-rpc-streams.test.ts']
const rest = ['test/functions/gateway.test.ts']
const streams = ['test/transcoding/streams.test.ts', 'test/functions/gateway-streams.test.ts']

/** Faults in what the head of a request decides: src/transcoding/conventions/, and the files beside it. */
export const conventions: readonly FaultyFile[] = [
  {
    file: 'src/transcoding/conventions/etag.ts',
    by: conventional,
    changes: [
      [
        "if (value === '' || !quoted.test(header)) return undefined",
        '',
        'an answer whose etag is no etag splits the response',
      ],
      ['this.#areQuoted = isQuoted', '', 'a service that puts quotes into its etags gets them without'],
      [
        "return this.#areQuoted || etag.startsWith('W/') ? etag : bare",
        'return this.#areQuoted ? etag : bare',
        'an etag that a proxy made weak matches',
      ],
      ["const opaque = etag.replace(/^W\\//, '')", 'const opaque = etag', 'a weak etag matches none'],
      [
        "const own = textField(input, 'etag')\n  if (own)",
        "const own = textField(input, 'etag')\n  if (false && own)",
        'the etag of a request that deletes is dropped',
      ],
    ],
  },
  {
    file: 'src/transcoding/conventions/created.ts',
    by: conventional,
    changes: [
      ["|| !method.name.startsWith('Create')", '', 'a GET answers 201'],
      [
        "|| resource.typeName === 'google.longrunning.Operation'",
        '',
        'an operation is answered as the resource that it creates',
      ],
      [
        "|| httpMethod !== 'GET') return false",
        ') return false',
        'the location of a resource is that of a method that changes it',
      ],
      [
        "|| given.includes('')) return undefined\n  const texts",
        ') return undefined\n  const texts',
        'a location has an empty segment',
      ],
      ['`/${encodeURIComponent(segment)}`', '`/${segment}`', 'a name with a space splits the location'],
      [
        'return getter ? filled(getter.template, name) : behindPrefix(binding.template, name)',
        'return getter ? filled(getter.template, name) : undefined',
        'a service that cannot get its resources answers no location',
      ],
      [
        "segment.kind !== 'literal' || hasRest || segment.text === given[index]",
        'true',
        'the location is a path that the gateway does not have',
      ],
      ['if (given.length < 2 || ', 'if (', 'a location is made from a name that is no path'],
    ],
  },
  {
    file: 'src/transcoding/conventions/next-page.ts',
    by: conventional,
    changes: [
      ['(?:\\$|%24)?key)$/i', '(?:\\$)?key)$/i', 'an API key as %24key is in the link to the next page'],
      ["|| httpMethod !== 'GET') return undefined", ') return undefined', 'a POST has a link to a next page'],
      ['if (!value) return undefined', '', 'the last page has a link to a next one'],
      [
        "pair !== '' && !left.test(pair.split('=', 1)[0]!)",
        "pair !== ''",
        'the link to the next page has two page tokens',
      ],
      ['${encodeURIComponent(value)}`', '${value}`', 'a page token with & is cut'],
      ['/[^\\x21-\\x7e]|[<>"]/g', '/[^\\x21-\\x7e]/g', 'a query with > ends the link early'],
      ['const pairs = [...others, `${token', 'const pairs = [`${token', 'the link to the next page loses the filter'],
      [
        'if (variables.some(({name}) => name === token.name)) return undefined',
        '',
        'a page token in the path is given again in the query',
      ],
    ],
  },
  {
    file: 'src/transcoding/conventions/read-mask.ts',
    by: [...conventional, 'test/transcoding/responses.test.ts'],
    changes: [
      ['const maxSteps = 1000', 'const maxSteps = 1_000_000', 'a read mask of a million names is read'],
      ["if (text.trim() === '') this.#root.isWhole = true\n    else", '', 'an empty read mask is refused'],
      ['node.parts.set(field.name, part)', '', 'GATEWAY_FIELD_NAMES=proto answers nothing for a read mask'],
      [
        "const key = segment.startsWith('`') ? segment.slice(1, -1) : segment",
        'const key = segment',
        'a key of a map with a dot cannot be asked for',
      ],
      ["if (!this.#takes(')')) this.#fail('\")\"')", "this.#takes(')')", 'a bracket of a read mask that is not closed'],
    ],
  },
  {
    file: 'src/transcoding/conventions/routing-header.ts',
    by: conventional,
    changes: [
      [
        'const maxLength = 4096',
        'const maxLength = 4096 * 1024',
        'a long name in the routing header is refused by the backend',
      ],
      [
        'if (value) values.set(key, value)',
        'if (value && !values.has(key)) values.set(key, value)',
        'of two routing parameters the first one wins',
      ],
      [".replace(/[!'()*]/g, ", ".replace(/[!'()]/g, ", 'the routing header has an unescaped star'],
    ],
  },
  {
    file: 'src/transcoding/rules/routing-rule.ts',
    by: conventional,
    changes: [
      [
        'optionFields(method, routingOption).at(-1)',
        'optionFields(method, routingOption).at(0)',
        'of two google.api.routing options the first one wins',
        'a compiler refuses a second one',
      ],
      ["segment.kind === '*' ? '[^/]+'", "segment.kind === '*' ? '.+'", 'a routing parameter captures too much'],
    ],
  },
  {
    file: 'src/transcoding/conventions/routing-of-message.ts',
    by: conventional,
    changes: [
      [
        'return field.enum.value[value]?.name ?? String(value)',
        'return String(value)',
        'an enum in the routing header is a number',
      ],
      [
        'else if (type === WireType.LengthDelimited) text = lastText(reader.bytes(), inner, text)',
        '',
        'a nested field is missing in the routing header',
      ],
      [
        'conventions.get(binding)!.routing ?? binding.variables.map(ofVariable)',
        'binding.variables.map(ofVariable)',
        'google.api.routing is ignored over Connect',
      ],
      [
        'lastText(reader.bytes(), inner, text)',
        "lastText(reader.bytes(), inner, '')",
        'a message in two parts has the value of its second part only',
      ],
    ],
  },
  {
    file: 'src/transcoding/conventions/system-parameters.ts',
    by: conventional,
    changes: [
      ['if (encoding) system.enumAsInteger = true', '', '$alt=json;enum-encoding=int answers names'],
      ["if (text !== 'true' && text !== 'false') throw", 'if (false) throw', '$prettyPrint takes any text'],
      [
        "return name.startsWith('.') ? undefined : parameters.get(name)",
        'return parameters.get(name)',
        'a parameter `.xgafv` without a dollar is dropped',
      ],
      ['quotaUser: dropped,', '', 'requests with a quota user are refused'],
      ["system.prettyPrint = text === 'true'", 'system.prettyPrint = true', '$prettyPrint=false indents'],
    ],
  },
  {
    file: 'src/transcoding/exchange.ts',
    by: [
      'test/transcoding/requests.test.ts',
      ...metadata,
      ...conventional,
      ...streams,
      ...rest,
      'test/functions/event-ids.test.ts',
      'test/functions/gateway-presets.test.ts',
    ],
    changes: [
      ['refuseUnreadCondition(head)\n', '\n', 'a change is made although its If-None-Match does not hold'],
      [
        "throw Fault.invalid('if-match', `Cannot compare etags: ${nameOf(binding)} takes none`)",
        'return false',
        'a change is made although nothing compares its If-Match',
      ],
      ['traceparent: undefined,', '', 'the backend gets two traceparents'],
      [
        'if (!raw && system.alt === undefined) negotiate(accept, unaryTypes)',
        '',
        'a caller who takes only XML gets JSON',
      ],
      [
        'contentType: isLines ? type : undefined,',
        'contentType: undefined,',
        'a stream of GATEWAY_PRESET=grpc-gateway has another type',
      ],
      [
        "eventId: type === 'text/event-stream' ? cursor?.idOf : undefined",
        'eventId: cursor?.idOf',
        'lines that are no events have ids',
        'only event streams write ids',
      ],
      ['headers: {...headers, etag: had}}', 'headers}', 'a 304 for the compressed answer has another etag'],
      [
        "dialect.unexpectedBody === 'ignore' ? undefined : new NoBody(binding.rule, contentType)",
        'undefined',
        'a body that nothing reads is dropped silently',
      ],
      ['body.length > 0 || (raw && contentType !== undefined)', 'body.length > 0', 'an empty file loses its type'],
      ['if (conventions) addPathRouting(conventions, captures, metadata)', '', 'a WebSocket has no routing header'],
    ],
  },
  {
    file: 'src/transcoding/metadata.ts',
    by: [...metadata, ...connect],
    changes: [
      ["const name = key.replaceAll('_', '-')", 'const name = key', 'a caller sets x_forwarded_for'],
      ["'x-serverless-authorization',\n", '\n', "a caller sets the header of Cloud Run's own tokens"],
      ["|| name.startsWith('grpc-') || ofTheHop.has(name)\n", '|| ofTheHop.has(name)\n', 'a caller sets grpc-timeout'],
      ['  /^x-verified(?:-|$)/,\n', '', 'a caller sets the headers of the verified caller'],
      [
        '|| nominated.has(lower) || nominated.has(key)) continue',
        '|| nominated.has(lower)) continue',
        'a header that Connection lists is forwarded by its key',
      ],
      [
        'if (!options.dropInvalid) throw error',
        'throw error',
        'GATEWAY_PRESET=envoy refuses what metadata cannot hold',
      ],
      [
        "if (name === 'authorization') return authorization ? name : undefined",
        "if (name === 'authorization') return name",
        'the Authorization of callers is forwarded',
      ],
      [
        'mayBeSet(key) && !isProof(key, proofs) && (keys?.has(key) ?? true) ? key',
        'mayBeSet(key) && (keys?.has(key) ?? true) ? key',
        'the backend gets the API key of the caller',
      ],
      [
        'mayBeSet(key) && !isProof(key, proofs) && (keys?.has(key) ?? true) ? key',
        'mayBeSet(key) && !isProof(key, proofs) ? key',
        'GATEWAY_METADATA is ignored',
      ],
      [
        'return mayBeSet(key) && !isProof(key, proofs) && (keys?.has(key) ?? true)\n',
        'return mayBeSet(key) && !isProof(key, proofs)\n',
        'GATEWAY_METADATA is ignored over Connect',
      ],
      [
        "if (key === 'authorization') return authorization === true",
        "if (key === 'authorization') return true",
        'the Authorization of callers is forwarded over Connect',
      ],
      [
        "return proofs?.has(key.replaceAll('_', '-')) ?? false",
        'return proofs?.has(key) ?? false',
        'the backend gets an API key in a header with underscores',
      ],
      [
        "if (name.endsWith('-bin') || /^[\\x20-\\x7e]*$/.test(text)) entries",
        'entries',
        'a header beyond ASCII fails a call of Connect',
      ],
      ['connect-.*|content-.*|location', 'content-.*|location', 'a backend sets the headers of Connect'],
      [
        "return written('', metadata, 'std_raw')",
        "return written('', metadata, 'std')",
        'bytes in trailers of gRPC-Web have padding',
      ],
      [
        "name.startsWith(':') || ofTheHop.has(name)) continue",
        "name.startsWith(':')) continue",
        'a backend sets cookies',
      ],
      [
        "return text.split(',').map((part) => {",
        'return [text].map((part) => {',
        'two bytes in one header are refused',
      ],
      [
        "throw refused(name, 'metadata values have only printable ASCII characters')",
        'return []',
        'a value that metadata cannot hold is dropped silently',
      ],
      ["'cookie',\n", '\n', 'cookies are forwarded'],
    ],
  },
  {
    file: 'src/transcoding/media.ts',
    by: ['test/transcoding/media.test.ts', ...rest, 'test/functions/gateway-presets.test.ts'],
    changes: [
      [
        'return found && parameters.every(isUtf8) ? found.form : undefined',
        'return found?.form',
        'a body in Latin-1 is read as UTF-8',
      ],
      ['{http: 415, headers: {accept: accepted}}', '{http: 415}', 'a 415 does not say which types are accepted'],
      ['(q === best.q && rank > best.rank)', 'false', 'of two types the one that is only covered by */* is answered'],
      ['part.trim().toLowerCase())\n  const q', 'part.trim())\n  const q', 'Accept in capitals is refused'],
      ['? Number(q) : 0}', '? Number(q) : 1}', 'a malformed q is the best one'],
      [".filter((text) => text.trim() !== '')", '', 'an empty member of Accept is 406'],
      [
        'if (rank > found.rank || (rank === found.rank && rank >= 0 && range.q > found.q))',
        'if (rank > found.rank)',
        'of two q of one type the first one wins',
      ],
      ['if (q > 0 && (!best', 'if ((!best', 'a type with q=0 is answered'],
      ['http: 406,', '', 'an Accept that nothing fits is 400'],
      [
        "lines: ['application/json', 'application/x-ndjson',",
        "lines: ['application/x-ndjson', 'application/json',",
        'a stream of GATEWAY_PRESET=grpc-gateway has another type',
      ],
    ],
  },
  {
    file: 'src/transcoding/message-stream.ts',
    by: [...streams, 'test/functions/gateway-repo.test.ts'],
    changes: [
      [
        'this.#reader.bindsSomething && !this.#splitter.isArray',
        'this.#reader.bindsSomething',
        'an empty array is a message',
      ],
      ['const saysSomething = this.#reader.bindsSomething && ', 'const saysSomething = ', 'an empty body is a message'],
      [
        'if (!this.#isEmpty || texts.length > 0) return this.#batch(texts)',
        'if (texts.length > 0) return this.#batch(texts)',
        'behind the last message of a stream comes another one',
      ],
      ['texts.reduce((sum, {length}) => sum + length, 0)', '0', 'messages that wait are not counted'],
      [
        'return this.#isEmpty ? {messages: this.#one(), count: 1, size: 0}',
        'return false ? {messages: this.#one(), count: 1, size: 0}',
        'an empty file is no message',
      ],
      ['new JsonSplitter({maxBytes})', 'new JsonSplitter({})', 'GATEWAY_MAX_MESSAGE_BYTES is ignored'],
      ['size: bytes.length}', 'size: 0}', 'the pieces of a file that wait are not counted'],
    ],
  },
  {
    file: 'src/transcoding/transcoder.ts',
    by: [
      'test/transcoding/fields.test.ts',
      'test/functions/web-socket.test.ts',
      'test/transcoding/bindings.test.ts',
      ...rest,
      'test/functions/gateway-validation.test.ts',
    ],
    changes: [
      [
        'if (unreadable.size > 0 && !options.leaveOut) throw',
        'if (false) throw',
        'a schema that cannot be read is served in part',
      ],
      [
        'else if (takesStream(match.binding)) return match\n    else allow = [httpMethod]',
        'else return match',
        'a WebSocket is opened for a method that takes no stream',
      ],
      ['check: checkOf?.(binding.method)', 'check: undefined', 'GATEWAY_VALIDATE does nothing'],
    ],
  },
  {
    file: 'src/transcoding/rpc/errors.ts',
    by: ['test/transcoding/rpc.test.ts', ...connect, 'test/functions/rpc-clients.test.ts'],
    changes: [
      [
        "!wasRouted && fault.code === 'NOT_FOUND' ? 'UNIMPLEMENTED'",
        "false ? 'UNIMPLEMENTED'",
        'an unknown method is NOT_FOUND',
      ],
      ['const told = ofHttp ? [] : details', 'const told = details', 'an error has the details of another code'],
      [
        "code === 'CANCELLED' ? 'canceled' : code.toLowerCase()",
        'code.toLowerCase()',
        'a client of Connect does not know "cancelled"',
      ],
      [
        "if (message) trailers.push(['grpc-message', percentEncoded(message)])",
        "if (message) trailers.push(['grpc-message', message])",
        'a message beyond ASCII breaks the trailers',
      ],
      [
        'byte >= 0x20 && byte <= 0x7e && byte !== 0x25',
        'byte >= 0x20 && byte <= 0x7e',
        'a percent sign in a message is decoded',
      ],
      [".padStart(2, '0')}`\n  }", '}`\n  }', 'a line feed in a message breaks the trailers'],
      ["[413, 'RESOURCE_EXHAUSTED'],", '', 'a message that is too large has the code of a malformed one'],
      [
        'details.map((any) => detailToTell(any, types)).filter((any) => any !== undefined)',
        '[...details]',
        'callers of Connect get google.rpc.DebugInfo',
      ],
    ],
  },
  {
    file: 'src/transcoding/transcoder.ts',
    by: ['test/transcoding/streams.test.ts'],
    changes: [
      [
        'router.route(httpMethod, path)\n    if',
        "router.route(httpMethod === '*' ? 'GET' : httpMethod, path)\n    if",
        'no WebSocket opens at a rule for any HTTP method beside one for GET',
      ],
      [
        'return body !== undefined && (methodKind',
        'return (methodKind',
        'a WebSocket opens at a rule that reads no messages',
      ],
    ],
  },
  {
    file: 'src/transcoding/exchange.ts',
    by: ['test/functions/conventions.test.ts'],
    changes: [
      [
        "if (system.alt === 'media') throw noAlt('json\" or \"sse')\n",
        '\n',
        'alt=media for a stream is answered without a content type',
      ],
    ],
  },
  {
    file: 'src/transcoding/exchange.ts',
    by: ['test/functions/event-ids.test.ts', 'test/functions/gateway-streams.test.ts'],
    changes: [
      [
        "if (type === 'text/event-stream' && hadAllEvents(headerIn(head, 'last-event-id'))) return undefined\n",
        '\n',
        'a browser repeats a call that has ended',
      ],
      [
        "if (type === 'text/event-stream' && hadAllEvents",
        'if (hadAllEvents',
        'a caller that asks for JSON gets nothing for an id of an event',
      ],
    ],
  },
  {
    file: 'src/transcoding/rpc/base64-body.ts',
    by: ['test/transcoding/rpc.test.ts'],
    changes: [
      ['this.#rest = text.slice(whole)', "this.#rest = ''", 'bytes of a body are lost where it was cut'],
      ["if (this.#rest !== '') throw refused()", '', 'a body that was cut is taken as whole'],
      ['match(/[^=]+=*/g)', 'match(/.+/g)', 'a body of several pieces is refused'],
    ],
  },
  {
    file: 'src/transcoding/rpc/ends.ts',
    by: ['test/transcoding/rpc.test.ts'],
    changes: [
      ['metadata[name].push(value)', 'metadata[name] = [value]', 'of several trailers of one name, one arrives'],
      ['Object.create(null)', '{}', 'a trailer named __proto__ breaks a stream'],
    ],
  },
  {
    file: 'src/transcoding/rpc/get-request.ts',
    by: ['test/transcoding/rpc.test.ts'],
    changes: [
      ["bytes[length++] = char === '+' ? 0x20 : char", 'bytes[length++] = char', 'a space of a form is read as a plus'],
      ['!form || form.enveloped', '!form', 'a GET is read as a stream'],
    ],
  },
  {
    file: 'src/transcoding/rpc/media.ts',
    by: ['test/transcoding/rpc.test.ts'],
    changes: [
      [
        'parameters.every(isRead) ? byType.get(type) : undefined',
        'byType.get(type)',
        'a body in Latin-1 is read as UTF-8',
      ],
      [
        'accepted.every((found) => found!.text)',
        'accepted.some((found) => found!.text)',
        'a caller that reads binary gets base64, a third longer',
      ],
    ],
  },
  {
    file: 'src/transcoding/rpc/messages.ts',
    by: ['test/functions/gateway-connect.test.ts', 'test/functions/gateway-validation.test.ts'],
    changes: [
      ['      refuseMissing(input, message)\n', '', 'a message without a required field is a 500'],
      ['      check(message)\n      return', '      return', 'GATEWAY_VALIDATE does not hold for binary messages'],
      ['checkWire(input, bytes, new ValueCount(maxValues))\n', '\n', 'binary messages have no limit of values'],
    ],
  },
  {
    file: 'src/transcoding/json/floats.ts',
    by: ['test/transcoding/floats.test.ts'],
    changes: [
      [
        'if (!Number.isFinite(Math.fround(size * 1.000001))) return value\n',
        '\n',
        'the largest float is one that the document forbids',
      ],
      [
        'field.oneof ? fieldsOf(message)[field.oneof.localName] : message',
        'message',
        'a float in a oneof has digits that mean nothing',
      ],
      [
        "if (field.fieldKind === 'list' || field.fieldKind === 'map')",
        "if (field.fieldKind === 'list')",
        'a float in a map has digits that mean nothing',
      ],
    ],
  },
  {
    file: 'src/transcoding/rules/bindings.ts',
    by: ['test/functions/gateway-unservable.test.ts'],
    changes: [
      ['if (rules.length > 0) routingOf(method)\n', '\n', 'a malformed google.api.routing fails the first request'],
      ['if (rules.length > 0) routingOf', 'routingOf', 'a method that is not served keeps the gateway from starting'],
    ],
  },
  {
    file: 'src/transcoding/rules/routing-rule.ts',
    by: ['test/functions/gateway-unservable.test.ts'],
    changes: [
      [
        "if ('problem' in path) throw",
        'if (false) throw',
        'a misspelt field of google.api.routing has no line at start',
      ],
      [
        "throw new Error('expected one variable')",
        "'expected one variable'",
        'of two variables of a routing template the second is dropped',
      ],
      [
        "if (path.field.fieldKind !== 'scalar' || path.field.scalar !== ScalarType.STRING) {",
        'if (false) {',
        'routing by a number is found only by the first request',
      ],
    ],
  },
  {
    file: 'src/transcoding/conventions/routing-of-message.ts',
    by: conventional,
    changes: [
      [
        'parameters.filter(({path}) => isReadable(path.field))',
        'parameters',
        'the routing header of an RPC has `[object Object]`',
      ],
    ],
  },
  {
    file: 'src/transcoding/conventions/read-mask.ts',
    by: conventional,
    changes: [
      [
        '= Object.create(null)\n  for (const [key, value] of Object.entries(json))',
        '= {}\n  for (const [key, value] of Object.entries(json))',
        '`fields` drops the key "__proto__" of a map',
      ],
      [
        'Object.assign(Object.create(null), other)',
        'Object.assign({}, other)',
        '`fields` with several paths drops the key "__proto__" of a map',
      ],
    ],
  },
]
