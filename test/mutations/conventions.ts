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
      ['`/${encodeURIComponent(segment)}`', '`/${segment}`', 'a name with a space splits the location'],
    ],
  },
  {
    file: 'src/transcoding/conventions/next-page.ts',
    by: conventional,
    changes: [
      ['if (!value) return undefined', '', 'the last page has a link to a next one'],
      [
        "pair !== '' && !left.test(pair.split('=', 1)[0]!)",
        "pair !== ''",
        'the link to the next page has two page tokens',
      ],
      ['${encodeURIComponent(value)}`', '${value}`', 'a page token with & is cut'],
      ['/[^\\x21-\\x7e]|[<>"]/g', '/[^\\x21-\\x7e]/g', 'a query with > ends the link early'],
      ['const pairs = [...others, `${token', 'const pairs = [`${token', 'the link to the next page loses the filter'],
    ],
  },
  {
    file: 'src/transcoding/conventions/read-mask.ts',
    by: [...conventional, 'test/transcoding/responses.test.ts'],
    changes: [
      ['const maxSteps = 1000', 'const maxSteps = 1_000_000', 'a read mask of a million names is read'],
      ["if (text.trim() === '') this.#root.isWhole = true\n    else", '', 'an empty read mask is refused'],
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
        'optionFields(method, routingOption).at(-1)',
        'optionFields(method, routingOption).at(0)',
        'of two google.api.routing options the first one wins',
        'a compiler refuses a second one',
      ],
    ],
  },
  {
    file: 'src/transcoding/conventions/routing-of-message.ts',
    by: conventional,
    changes: [
      [
        'conventions.get(binding)!.routing ?? binding.variables.map(ofVariable)',
        'binding.variables.map(ofVariable)',
        'google.api.routing is ignored over Connect',
      ],
    ],
  },
  {
    file: 'src/transcoding/exchange.ts',
    by: [
      ...conventional,
      ...streams,
      ...rest,
      'test/functions/event-ids.test.ts',
      'test/functions/gateway-presets.test.ts',
    ],
    changes: [
      [
        "eventId: type === 'text/event-stream' ? cursor?.idOf : undefined",
        'eventId: cursor?.idOf',
        'lines that are no events have ids',
        'only event streams write ids',
      ],
    ],
  },
  {
    file: 'src/transcoding/metadata.ts',
    by: [...metadata, ...connect],
    changes: [
      ["const name = key.replaceAll('_', '-')", 'const name = key', 'a caller sets x_forwarded_for'],
      ["'x-serverless-authorization',\n", '\n', "a caller sets the header of Cloud Run's own tokens"],
      ["|| name.startsWith('grpc-') || ofTheHop.has(name)\n", '|| ofTheHop.has(name)\n', 'a caller sets grpc-timeout'],
      [
        '|| nominated.has(lower) || nominated.has(key)) continue',
        '|| nominated.has(lower)) continue',
        'a header that Connection lists is forwarded by its key',
      ],
      [
        "if (name === 'authorization') return authorization ? name : undefined",
        "if (name === 'authorization') return name",
        'the Authorization of callers is forwarded',
      ],
      [
        'mayBeSet(key) && !isProof(key, proofs) && (keys?.has(key) ?? true) ? key',
        'mayBeSet(key) && !isProof(key, proofs) ? key',
        'GATEWAY_METADATA is ignored',
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
    by: ['test/transcoding/media.test.ts', ...rest],
    changes: [
      [
        'return found && parameters.every(isUtf8) ? found.form : undefined',
        'return found?.form',
        'a body in Latin-1 is read as UTF-8',
      ],
      ['(q === best.q && rank > best.rank)', 'false', 'of two types the one that is only covered by */* is answered'],
      ['part.trim().toLowerCase())\n  const q', 'part.trim())\n  const q', 'Accept in capitals is refused'],
      ['? Number(q) : 0}', '? Number(q) : 1}', 'a malformed q is the best one'],
      [".filter((text) => text.trim() !== '')", '', 'an empty member of Accept is 406'],
      ['if (q > 0 && (!best', 'if ((!best', 'a type with q=0 is answered'],
      ['http: 406,', '', 'an Accept that nothing fits is 400'],
    ],
  },
  {
    file: 'src/transcoding/rpc/errors.ts',
    by: [...connect, 'test/functions/rpc-clients.test.ts'],
    changes: [
      [
        "!wasRouted && fault.code === 'NOT_FOUND' ? 'UNIMPLEMENTED'",
        "false ? 'UNIMPLEMENTED'",
        'an unknown method is NOT_FOUND',
      ],
    ],
  },
]
