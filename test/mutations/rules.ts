import type {FaultyFile} from './mutations.ts'

const router = ['test/transcoding/router.test.ts']
const bindings = ['test/transcoding/bindings.test.ts', 'test/transcoding/lazy-schema.test.ts']
const templates = ['test/transcoding/templates.test.ts']
const presets = ['test/functions/gateway-presets.test.ts', 'test/functions/gateway-switches.test.ts']

/** Faults in src/transcoding/rules/: which method gets a request. */
export const rules: readonly FaultyFile[] = [
  {
    file: 'src/transcoding/rules/router.ts',
    by: [...router, ...presets],
    changes: [
      [
        "const got = httpMethod === 'HEAD' && this.#find('GET', target)",
        'const got = undefined',
        'HEAD is refused with 405',
      ],
      ['if (any) return matched(any, target)', '', 'a rule for any HTTP method gets no request'],
      [
        'const own = this.#find(httpMethod, target)',
        "const own = this.#find('*', target) ?? this.#find(httpMethod, target)",
        'a rule for any HTTP method gets the requests of a rule for GET',
      ],
      ["status: httpMethod === 'OPTIONS' ? 204 : 405", 'status: 405', 'OPTIONS is refused'],
      ["if (allow.includes('GET')) allow.push('HEAD')", '', 'Allow does not name HEAD'],
      [
        "[...new Set([...allow, 'OPTIONS'])].sort()",
        "[...new Set([...allow, 'OPTIONS'])]",
        'Allow is in the order of the rules',
      ],
      [
        "Math.max(this.#mostColons, verb.split(':').length)",
        "verb.split(':').length",
        'a rule with one verb makes paths with two of them unknown',
      ],
      [
        "if (segment === '' && this.#allow({...target, mayBeEmpty: true}).length > 0) return unknown",
        '',
        'a verb behind an empty segment is the name of another resource',
      ],
      [
        "const star = text === '' && !target.mayBeEmpty ? undefined : this.#star",
        'const star = this.#star',
        'an empty name is taken',
      ],
      [
        'return this.#literal(text)?.find(target, index + 1) ?? this.#findStar(text, target, index)',
        'const child = this.#literal(text)\n    return child ? child.find(target, index + 1) : this.#findStar(text, target, index)',
        'a literal hides the rules with a variable in its place',
      ],
      [
        'return longer ?? this.get(target.verb)',
        'return this.get(target.verb) ?? longer',
        'the shorter of two endings gets the request',
      ],
      [
        'key += ` ${start} ${end} ${multi}`',
        'key += ` ${start} ${multi}`',
        'a variable captures the segments of that of another rule',
      ],
      [
        'if (!variable.multi) return plain(raw[start]!)',
        'if (!variable.multi) return raw[start]!',
        'names reach the backend with their escapes',
      ],
      ['at <= rest + stretch', 'at < rest + stretch', 'the last segment of a `**` keeps its escaped slashes'],
      ['.replace(/[%\\x80-\\uffff]+/g, encodeURIComponent)', '', 'a path is decoded twice'],
      [
        'return /^[\\w.:-]*$/.test(raw) ? raw : verbKey',
        'return raw ? raw : verbKey',
        'a verb with escapes is unknown',
      ],
      [
        'http: status === 501 ? 501 : 405',
        'http: 405',
        'GATEWAY_PRESET=grpc-gateway answers 405 where clients expect 501',
      ],
      ["headers: {allow: allow.join(', ')},", '', 'a 405 has no Allow header'],
      ["if (path[0] !== '/') return unknown", '', 'a request for "*" is one for the root'],
      [
        'return this.#child(segment).place(segments, index + 1)',
        'return this.#child(segment).place(segments, index + 2)',
        'paths are matched by every other segment',
      ],
    ],
  },
  {
    file: 'src/transcoding/rules/bindings.ts',
    by: [
      ...bindings,
      'test/transcoding/fields.test.ts',
      'test/transcoding/update-mask.test.ts',
      'test/functions/gateway-unservable.test.ts',
    ],
    changes: [
      ['refuseOverlaps(variables, body)\n', '\n', 'a rule that refuses each of its requests is served'],
      ["updateMask: this.#updateMask === 'fill' ?", 'updateMask: true ?', 'GATEWAY_UPDATE_MASK=off fills masks'],
      ['if (why !== undefined) throw new Error(why)', '', 'rules that the server cannot serve are served'],
      ['if (fork < 0) return true', 'if (fork < 0) return false', 'two variables for one field: the last one wins'],
      [
        'if (taken) reportRule(`takes',
        'if (false) reportRule(`takes',
        'a rule that never gets a request is not reported',
      ],
      [
        "why: rules?.length === 0 ? 'no rule' : 'unservable'",
        "why: 'no rule'",
        'the log says of a wrong rule that there is none',
      ],
      [
        'if (unreadable.size > 0) refuseUnreadable(method, unreadable)',
        '',
        'a method whose messages cannot be read is served',
      ],
      [
        'if (!(method instanceof LazyMethod && isPlainRule(method, binding.template, rule))) binding.compile()',
        'if (!(method instanceof LazyMethod)) binding.compile()',
        'a wrong rule is found only by its first request',
      ],
      ['if (body === variable.field) throw', 'if (false) throw', 'a path and a body may set the same field'],
      ['body.oneof === first.oneof', 'false', 'a path and a body may set two members of a oneof'],
      [
        '.filter((name) => !registry.getService(name))',
        '.filter(() => false)',
        'a misspelt name in GATEWAY_SERVICES is ignored',
      ],
    ],
  },
  {
    file: 'src/transcoding/rules/rules.ts',
    by: [...bindings, 'test/functions/gateway-rules.test.ts'],
    changes: [
      ['.map((rule) => ({...rule, place: own.place}))', '', 'a wrong rule of GATEWAY_RULES is said to be in a proto'],
      ['if (found.length > 1) return getOption(method, http)', '', 'of an option in two parts the second is dropped'],
      ["[3, 'put'],", "[3, 'post'],", 'a rule for PUT is served at POST'],
      ["[5, 'delete'],", "[5, 'get'],", 'a GET deletes'],
      ['if (beyondAscii.test(text)) refuse()', '', 'a template that is no text is served'],
      ['else if (rule) refuse()', '', 'of an option in two parts the first is dropped'],
      [
        'if (additional.additionalBindings.length > 0) {',
        'if (false) {',
        'additional bindings two levels deep are dropped silently',
      ],
      [
        'return {httpMethod: kind.toUpperCase(), path,',
        'return {httpMethod: kind, path,',
        'a custom method in lower case gets no request',
      ],
      [
        "path, body: '*', responseBody: '', text: `post",
        "path, body: '', responseBody: '', text: `post",
        'a method without a rule takes no body',
      ],
      [
        '[rule, ...rule.additionalBindings].map(readRule)',
        '[rule].map(readRule)',
        'additional bindings are not served',
      ],
    ],
  },
  {
    file: 'src/transcoding/rules/templates.ts',
    by: [...templates, ...router],
    changes: [
      ['if (after) throw new Error', 'if (false) throw new Error', 'a template with two `**` is served'],
      ['if (inVariable) throw', 'if (false) throw', 'a variable inside a variable'],
      [
        'if (this.#variables.some((variable) => variable.path === path)) throw',
        'if (false) throw',
        'a variable that is there twice',
      ],
      ['multi: end - start > 1 || ', 'multi: ', 'an escaped slash in a name of several segments becomes a slash'],
      ['return decodeURIComponent(text)\n', 'return text\n', 'a template with an escape matches no path'],
      [
        'if (this.#at < this.#source.length) this.#fail(verbs',
        'if (false) this.#fail(verbs',
        'the end of a malformed template is dropped',
      ],
      [
        'at character ${this.#at + 1}: expected',
        'at character ${this.#at}: expected',
        'an error in a template names the character before it',
      ],
    ],
  },
  {
    file: 'src/transcoding/rules/percent.ts',
    by: [...router, 'test/transcoding/fields.test.ts', 'test/transcoding/requests.test.ts', ...presets],
    changes: [
      ['const slash = /(%2f)/i', 'const slash = /(%2F)/', 'an escaped slash in lower case splits a name'],
      [
        "return byte > 0xff ? '%' : `%${byte.toString(16)}`",
        'return `%${byte.toString(16)}`',
        'a character beyond Latin-1 becomes another one',
      ],
      [".replaceAll('+', ' ')", '', '`+` in a query is no space'],
      ['if (end > start) yield', 'yield', 'a query that ends with & is refused'],
      ['pairsOf(text.toWellFormed(), ', 'pairsOf(text, ', 'half of a surrogate pair in a form reaches the backend'],
      ['2a|2b|2c', '2a|2c', 'GATEWAY_PATH_DECODING=reserved decodes %2B'],
      [
        'decode(part.slice(equals + 1), name)]',
        "decode(part.slice(equals + 1), 'query')]",
        'an error in a query does not name its parameter',
      ],
      ['(?:%[0-9A-Fa-f]{2})+|%/g', '(?:%[0-9A-Fa-f]{2})+/g', 'a malformed escape in a form is taken as it is'],
      [
        "const equals = part.indexOf('=')",
        "const equals = part.lastIndexOf('=')",
        'a value of the query with an equals sign is cut',
      ],
    ],
  },
  {
    file: 'src/transcoding/rules/plain-rules.ts',
    by: bindings,
    changes: [
      ['path !== body && ', '', 'a field in the path and the body is found only by the first request'],
      [' || field.label === Label.REPEATED', '', 'a list in a path is found only by the first request'],
      [
        'if (isLast !== (field.type !== Type.MESSAGE && field.type !== Type.GROUP)) return false',
        '',
        'a message in a path is found only by the first request',
      ],
      [
        '(field.oneof < 0 || field.isOptional)',
        'true',
        'two members of a oneof in a rule are found only by the first request',
      ],
      [
        "if (field.typeName.startsWith('google.protobuf.')) return isLast",
        '',
        'a part of a timestamp in a path is found only by the first request',
      ],
      [
        "return responseBody === '' || registry.fieldOf(output, responseBody) !== undefined",
        'return true',
        'a response_body that does not exist is found only by the first request',
      ],
    ],
  },
  {
    file: 'src/transcoding/rules/selection.ts',
    by: [...bindings, 'test/functions/gateway-rules.test.ts'],
    changes: [
      ['&& other.proto.package !== own', '', 'a Google service of several files is not served'],
      [
        "if (own !== 'google' && !own.startsWith('google.')) return false",
        '',
        "an imported service of one's own is not served",
      ],
      ['left.name < right.name ? -1 : 1', '0', 'the order of the files in a set decides which of two rules is served'],
      [
        'const byDefault = defaultBindings ?? isNamed',
        'const byDefault = isNamed',
        'GATEWAY_DEFAULT_BINDINGS is ignored',
      ],
      [
        'else if (!services && apis && !apis.includes(name))',
        'else if (false)',
        'services that GATEWAY_RULES does not name are served',
      ],
    ],
  },
  {
    file: 'src/transcoding/rules/plain-rules.ts',
    by: ['test/transcoding/lazy-schema.test.ts'],
    changes: [
      [
        'if (names.length > maxNesting) return false',
        '',
        'a path of more than 100 names is found only by the first request',
      ],
    ],
  },
]
