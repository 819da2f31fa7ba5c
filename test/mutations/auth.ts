import type {Room} from './mutations.ts'

const door = ['test/auth/door.test.ts']
const contract = ['test/auth/contract.test.ts']
const issuers = ['test/auth/issuers.test.ts']

export const auth: Room = {
  tests: ['test/auth/*.test.ts', 'test/functions/{pages,gateway-switches,web-socket,mcp}.test.ts'],
  files: [
    {
      file: 'src/auth/door.ts',
      by: [...door, ...contract, ...issuers, 'test/auth/recipes.test.ts'],
      changes: [
        [
          "if (isTwice(proofs.rawHeaders, 'authorization')) throw",
          'if (false) throw',
          'of two tokens the first decides',
        ],
        ['if (caller) proofs.identified(caller)', '', 'the log does not say who called'],
        [
          'if (proofs.signal.aborted) throw error\n      return undefined',
          'throw error',
          'a bad token closes what is open',
        ],
        ['this.#rules.check(caller, access)', '', 'everybody may do everything'],
        ['if (why) throw denied(why)', '', 'without AUTH=jwt what a proto closes is open'],
        [
          'if (token !== undefined) return this.#tokenCaller(String(token), header, proofs)',
          '',
          'an issuer with a header of its own lets nobody in',
        ],
        ['headers.authorization === undefined ?', 'true ?', 'a client does not learn that its token is wrong'],
      ],
    },
    {
      file: 'src/auth/rules.ts',
      by: ['test/auth/rules.test.ts', ...door, ...contract, 'test/auth/api-keys.test.ts', 'test/auth/webhooks.test.ts'],
      changes: [
        ['access.isOpen || ', '', 'probes need a token'],
        [' || access.oneOf?.some((name) => this.isOpen({name}))', '', 'a tool that is open to anybody needs a token'],
        ['if (access.oneOf?.some((name) => this.may(caller, name))) return', '', 'a key for one tool calls none'],
        [' && !this.#namesOf(access).some((name) => this.#closes(name))', '', 'a method with conditions is open'],
        ['this.#opensByContract && ', '', 'a proto opens a method that the operator did not'],
        ["if (!caller) throw unauthenticated('there is no token and no key')", '', 'who has no token gets 500'],
        ['for (const name of this.#namesOf(access)) this.checkCall(caller, name)', '', 'AUTH_ALLOW does not hold'],
        ['!isNamed(access, (name) => isIn(new Set(caller.methods), name))', 'false', 'a key may call everything'],
        ["!caller.methods.includes('*') &&", '', 'a key for everything is for nothing'],
        ['rules.some((rule) => !holds', 'rules.every((rule) => !holds', 'of two rules one is enough'],
        [
          "if (claim === 'email' && !mayHaveEmail(claims)) return false",
          '',
          'an address that nobody has verified is believed',
        ],
        [
          "return verified === undefined || verified === true || verified === 'true'",
          'return verified !== false',
          'an address is believed whose issuer says "false"',
        ],
        [
          "(caller.kind === 'token' && meetsAll(caller.claims, conditions))",
          "caller.kind !== 'token' || meetsAll(caller.claims, conditions)",
          'a key meets conditions on claims',
        ],
        ['if (Object.hasOwn(claims, name)) return claims[name]', '', 'a claim with dots in its name is not found'],
        [
          '!Object.hasOwn(value, part)',
          '!(part in value)',
          'a claim is taken from what every object inherits',
          'no object inherits a text',
        ],
        ['return conditions.every(', 'return conditions.some(', 'of two conditions one is enough'],
        ['methods.every(has)', 'methods.some(has)', 'a function is open by one of its methods'],
      ],
    },
    {
      file: 'src/auth/token.ts',
      by: [...door, ...issuers],
      changes: [
        ['if (text.length > maxLength) throw', 'if (false) throw', 'a token of megabytes is read'],
        ['!types.has(typ.toLowerCase())', 'false', 'a token for logging out lets in'],
        ['if (cty !== undefined) throw', 'if (false) throw', 'a token in a token is taken'],
        ["part === '' || bytes.toString('base64url') !== part", "part === ''", 'one token has many forms'],
        [
          'if (membersOf(value) !== writtenMembers(text)) throw',
          'if (false) throw',
          'of two equal claims the last one wins',
        ],
        ['if (depth > maxDepth) throw', 'if (false) throw', 'a token that nests deeply is read'],
        [
          'return renamed ? JSON.parse(renamed.in(text), (_key, value) => renamed.restored(value)) : value',
          'return value',
          'a stranger has the claims of others read wrong',
        ],
      ],
    },
    {
      file: 'src/auth/tokens.ts',
      by: [...door, ...issuers],
      changes: [
        ['if (Date.now() < known.until) return known.caller', 'return known.caller', 'a token never ends'],
        [
          'Math.min((exp + skew) * 1000, Date.now() + believed)',
          'Date.now() + believed',
          'a token is taken for minutes after its end',
        ],
        [
          'Math.min((exp + skew) * 1000, Date.now() + believed)',
          '(exp + skew) * 1000',
          'a withdrawn key is noticed only when its tokens end',
        ],
        [' && each.header === header', '', 'a token for the header of a proxy is taken from anybody'],
        ['audience: [...issuer.audiences],', '', 'tokens for other services are taken'],
        ["requiredClaims: ['exp', 'sub'],", '', 'a token without an end is taken'],
        ['iat <= Date.now() / 1000 + skew', 'true', 'a token from the future is taken'],
        ['if (this.#length <= maxRemembered) return', 'return', 'tokens that are remembered fill the memory'],
        ['clockTolerance: skew,', '', 'a clock that is a second off locks out'],
      ],
    },
    {
      file: 'src/auth/key-set.ts',
      by: issuers,
      changes: [
        [' || age > kept', '', 'keys of an issuer that is away serve for ever'],
        [
          'else if (age > fresh && this.#mayAsk()) await atMost(patience, this.#refresh(signal)).catch(() => {})',
          '',
          'a withdrawn key serves for a day',
        ],
        ['Date.now() - this.#triedAt >= this.#times.coolDown', 'true', 'each unknown key has the issuer asked'],
        [
          'this.#fetch ??= this.#begin()',
          'this.#fetch = this.#begin()',
          'a hundred requests fetch the keys a hundred times',
        ],
        [
          'if (!this.#isTry(fetch)) this.#triedAt = fetch.triedBefore',
          '',
          'who hangs up keeps others from asking for new keys',
        ],
        ['fetch.end.abort(over)', '', 'a fetch goes on after its last caller'],
        ['if (named !== issuer) throw', 'if (false) throw', 'the keys of another issuer are taken'],
        ['if (!url || !isSafe) throw', 'if (!url) throw', 'keys come over plain http'],
        [
          'if (find.jwks().keys.length === 0) throw',
          'if (false) throw',
          'an empty set locks everybody out for minutes',
        ],
        ['this.#location = undefined\n', '\n', 'keys that have moved are not found'],
        [
          'else if (this.#failed) throw this.#away',
          'else if (false) throw this.#away',
          'an issuer that is away is told as a bad token',
        ],
      ],
    },
    {
      file: 'src/auth/get-json.ts',
      by: issuers,
      changes: [
        ['const maxBytes = 256 * 1024', 'const maxBytes = 2 ** 31', 'an issuer fills the memory'],
        ['if (response.statusCode !== 200) throw', 'if (false) throw', 'an error page is taken for keys'],
      ],
    },
    {
      file: 'src/auth/api-keys.ts',
      by: ['test/auth/api-keys.test.ts'],
      changes: [
        [
          'if (version === this.#version && Date.now() - this.#readAt < maxAge) return',
          'return',
          'a withdrawn key is taken until the next deployment',
        ],
        [
          ' && Date.now() - this.#readAt < maxAge',
          '',
          'a key is taken where a mount hides that it was withdrawn',
          'no file here changes without another time of change',
        ],
        ['if (problems.length > 0) throw', 'if (false) throw', 'nobody is told of a wrong line'],
        [
          'if (!this.#problems.includes(problem)) report(problem)',
          'report(problem)',
          'each request logs each wrong line',
        ],
      ],
    },
    {
      file: 'src/auth/webhooks.ts',
      by: ['test/auth/webhooks.test.ts'],
      changes: [
        ['if (!isSigned) throw', 'if (false) throw', 'anybody is a webhook'],
        ['Math.abs(Date.now() / 1000 - timestamp) <= tolerance', 'true', 'an old webhook is taken again'],
        [
          'Math.abs(Date.now() / 1000 - timestamp)',
          'Date.now() / 1000 - timestamp',
          'a timestamp of next year is taken',
        ],
        ['.catch(() => this.#secrets)', '', 'a file that is being replaced fails webhooks'],
        ['if (secrets.length === 0) throw', 'if (false) throw', 'an empty secret is found by the first webhook'],
      ],
    },
    {
      file: 'src/http/request/cross-site.ts',
      by: ['test/functions/pages.test.ts', 'test/functions/web-socket.test.ts'],
      changes: [
        ["if (site === 'cross-site') return true", '', 'a page that hides its origin posts'],
        ["if (site === 'same-origin' || site === 'none') return false", '', 'pages behind a proxy cannot post'],
        ['(safe.has(method) && !webSocket) ||', 'safe.has(method) ||', 'any page opens a WebSocket'],
        ['if (isAllowedOrigin(scope, origin)) return false', '', 'pages of CORS_ORIGINS cannot post'],
      ],
    },
    {
      file: 'src/auth/resource.ts',
      by: ['test/auth/door.test.ts'],
      changes: [
        [
          '.filter(({header}) => header === undefined)',
          '',
          'agents ask an issuer for tokens that only a proxy may send',
        ],
        [
          "below.startsWith(`${pathname.replace(/\\/$/, '')}/`) ?",
          'below ?',
          'the document is about an API that clients did not ask for',
        ],
      ],
    },
  ],
}
