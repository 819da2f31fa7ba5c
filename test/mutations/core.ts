import type {Room} from './mutations.ts'

const config = ['test/config.test.ts']
const fault = ['test/fault.test.ts']
const details = ['test/core/details.test.ts']
const log = ['test/log.test.ts']

export const core: Room = {
  tests: [
    'test/{config,fault,log,readme,limits,project-start}.test.ts',
    'test/core/*.test.ts',
    'test/auth/{contract,rules,door}.test.ts',
    'test/functions/{gateway-start,gateway-presets,telemetry}.test.ts',
  ],
  files: [
    {
      file: 'src/core/config.ts',
      by: config,
      changes: [
        [
          "flag?.slice('--target='.length) || read(env, 'FUNCTION_TARGET')",
          "read(env, 'FUNCTION_TARGET')",
          'the framework serves the function of --target, and we another one',
        ],
        [
          "read(env, 'GCE_METADATA_IP') ?? read(env, 'GCE_METADATA_HOST')",
          "read(env, 'GCE_METADATA_HOST') ?? read(env, 'GCE_METADATA_IP')",
          'tokens come from another metadata server than the one that GCE_METADATA_IP names',
        ],
        [
          '!onCloudRun && process.stdout.isTTY === true',
          'process.stdout.isTTY === true',
          'a job with a terminal on Cloud Run logs lines for people',
        ],
        [
          "    'UPLOAD_CREATOR',\n  ] as const",
          '  ] as const',
          'UPLOAD_CREATOR is accepted where nobody checks who calls',
        ],
        ['if (given >= least) return given', 'if (given > least) return given', 'two equal limits are refused'],
        [
          "([a-z0-9])([A-Z])/g, '$1_$2')",
          "([a-z])([A-Z])/g, '$1_$2')",
          'a service whose name has a digit has no variable',
        ],
        [
          '[...new Map([...backends.values()].map((backend) => [backend.url, backend])).values()]',
          '[...backends.values()]',
          'health reports a backend once for each of its services',
        ],
        [
          "if (read(env, 'GOOGLE_APPLICATION_CREDENTIALS')) return undefined",
          '',
          'a key file has no effect on Cloud Run',
        ],
        [
          "read(env, 'GATEWAY_FORWARD_AUTHORIZATION') ? 'x-serverless-authorization' : 'authorization'",
          "'authorization'",
          "our token takes the place of the caller's own authorization",
        ],
      ],
    },
    {
      file: 'src/core/config.ts',
      by: ['test/functions/gateway-start.test.ts'],
      changes: [
        [
          "[...backends.keys()].filter((service) => service !== '')",
          '[] as string[]',
          'BACKEND_URL_ of a misspelt service is accepted',
        ],
      ],
    },
    {
      file: 'src/core/config.ts',
      by: ['test/clients/connecting.test.ts'],
      changes: [
        [
          "connectTimeout: read(env, 'BACKEND_CONNECT_TIMEOUT_SECONDS')",
          'connectTimeout: 10_000',
          'BACKEND_CONNECT_TIMEOUT_SECONDS has no effect',
        ],
      ],
    },
    {
      file: 'src/core/settings.ts',
      by: config,
      changes: [
        [
          "(text === 'true' ? true : text === 'false' ? false : undefined)",
          "text === 'true'",
          'MCP=yes means false, without a word',
        ],
        ['/^\\d{1,2}$/.test(text) && Number(text) <= 10', '/^\\d{1,2}$/.test(text)', 'TRUSTED_HOPS=99 is accepted'],
        ['names.parse(text.toLowerCase())', 'names.parse(text)', 'GATEWAY_METADATA=X-Tenant is refused'],
        ['h: 3_600_000}', 'h: 360_000}', 'an hour of RATE_LIMIT is six minutes'],
        ['window <= 86_400_000', 'true', 'RATE_LIMIT counts for years'],
        ['requests > 0 && window > 0', 'true', 'RATE_LIMIT=0/60s refuses every request'],
        [
          'Number(text) >= min && Number(text) <= max ? 1000 * Number(text)',
          'Number(text) > min && Number(text) <= max ? 1000 * Number(text)',
          'the shortest time that the error message names is refused',
        ],
        ['/^\\d{1,15}$/.test(text) && Number(text) >= min', 'Number(text) >= min', 'a limit of 1.5 bytes is accepted'],
        ["'cookie', 'host', 'x-api-key'", "'cookie', 'x-api-key'", 'tokens are read from the header Host'],
        [
          'if (!url || url.search || url.hash || url.username || url.password) return false',
          'if (!url || url.search || url.hash) return false',
          'a password in AUTH_ISSUERS gets into logs and answers',
        ],
        ['leven(name, row) <= 2)', 'leven(name, row) <= 1)', 'AUTH_ISUER has no effect, without a word'],
        ["'OPENAPI_', 'RATE_LIMIT']", "'OPENAPI_']", 'RATE_LIMITS has no effect, without a word'],
        ["slack: 'x-slack-signature',", "slack: 'slack-signature',", 'requests of Slack get 401'],
        ["stripe: 'stripe-signature',", "stripe: 'x-stripe-signature',", 'requests of Stripe get 401'],
        [
          'fields.length > 0 && fields.every((field) => field.isRight)',
          'fields.length > 0',
          'a misspelt place in UPLOAD_CONTEXT is in the name of each upload',
        ],
        [
          'items?.every((item) => methodOrPath.test(item)) ? items : undefined',
          'items',
          'AUTH_PUBLIC=ping.* opens nothing, without a word',
        ],
        [
          'rest === undefined\n    ? name === pattern',
          'rest === undefined\n    ? name.startsWith(pattern)',
          'a variable with a suffix has no effect, without a word',
        ],
      ],
    },
    {
      file: 'src/core/settings.ts',
      by: ['test/functions/mcp.test.ts'],
      changes: [
        [
          '(name !== undefined && method === undefined)',
          'false',
          'all methods of a service in MCP_TOOLS get the same name',
        ],
      ],
    },
    {
      file: 'src/core/settings.ts',
      by: ['test/upload/session.test.ts'],
      changes: [
        [
          '(?:\\/((?:[^\\s/]+\\/)*))?$/.exec(text)',
          '(?:\\/((?:[^\\s/]+\\/?)*))?$/.exec(text)',
          'UPLOAD_SESSIONS=bucket/a creates objects whose names begin with "a"',
        ],
      ],
    },
    {
      file: 'src/core/settings.ts',
      by: ['test/readme.test.ts'],
      changes: [
        [
          "before a comment is sent',\n    default: '15',",
          "before a comment is sent',\n    default: '60',",
          'another default than README says: proxies end silent event streams',
        ],
      ],
    },
    {
      file: 'src/core/fault.ts',
      by: fault,
      changes: [
        ['Math.ceil(durationMs(delay) / 1000)', 'Math.floor(durationMs(delay) / 1000)', 'callers come back too early'],
        [
          '[...ownDetails(options), ...(options.details ?? [])]',
          '[...(options.details ?? []), ...ownDetails(options)]',
          'the reason is not the first detail, where clients look for it',
        ],
        ['field: shortened(field), description', 'field, description', 'a long name is in the answer as a whole'],
        [
          "const told = shortened(`${description}${options.callerOnly ?? ''}`, maxMessage)",
          'const told = description',
          'the violation does not say what was given',
        ],
        ["names[number] ?? 'UNKNOWN'", "names[number] ?? 'INTERNAL'", 'an unknown code of a backend gets another name'],
        [
          'return {code: this.code, message: this.message}',
          'return {...this, message: this.message}',
          'a Fault in JSON shows its hint',
        ],
      ],
    },
    {
      file: 'src/core/fault.ts',
      by: log,
      changes: [
        [
          'this.logMessage = shortened(message, maxMessage)',
          'this.logMessage = this.message',
          'values of a body are logged',
        ],
      ],
    },
    {
      file: 'src/core/details.ts',
      by: details,
      changes: [
        [
          'createRegistry(knownTypes(), types)',
          'createRegistry(types, knownTypes())',
          'new fields of google/rpc are missing although the schema has them',
        ],
        ["if (nested.typeUrl === '') return true\n", '', 'an empty Any is shown as base64'],
        ['if (told) nested.value = told.value', '', 'a stack trace in an Any in an Any gets out'],
        ['message.clear(field)', '{}', 'a stack trace in a field gets out'],
      ],
    },
    {
      file: 'src/core/contract.ts',
      by: ['test/auth/contract.test.ts'],
      changes: [
        [
          'auths.length > 0 && auths.every(({isOpen}) => isOpen)',
          'auths.some(({isOpen}) => isOpen)',
          'a method is open to all if one of two protos opens it',
        ],
        ['[...this.authsOf(name), auth]', '[auth]', 'of two protos only the last one decides who may call'],
        [
          "mode === 'iam' && contract.conditionsOf(name).length === 0",
          "mode === 'iam'",
          'the proto demands claims, and nobody checks them',
        ],
        [
          'if (isOpen && allow.length > 0) throw new Error(\'expected "public" or "allow", not both\')',
          '',
          'an option that contradicts itself is accepted',
        ],
      ],
    },
    {
      file: 'src/core/log.ts',
      by: log,
      changes: [
        ["warn: 'WARNING'", "warn: 'NOTICE'", 'alerts on warnings find nothing'],
        ["fatal: 'CRITICAL'", "fatal: 'ERROR'", 'a crash looks like any other error'],
        ["debug: 'DEBUG'", "debug: 'INFO'", 'lines for debugging look like others'],
        ['base: null,', '', 'each line has the process id and the host'],
      ],
    },
    {
      file: 'src/core/log.ts',
      by: log,
      changes: [
        ['{fd: 1, sync: true}', '{fd: 1, sync: false}', 'the last lines of an instance that is killed are lost'],
      ],
    },
    {
      file: 'src/core/log-line.ts',
      by: log,
      changes: [
        [
          'sort((a, b) => sizeOf(a) - sizeOf(b))',
          'sort((a, b) => sizeOf(b) - sizeOf(a))',
          'a large note takes the place of the request in its own record',
        ],
        [
          'return `${JSON.stringify(withoutLargest(record))}\\n`',
          'return JSON.stringify(withoutLargest(record))',
          'two records are in one line, which is no JSON',
        ],
        ['stringLimits = [4096, 256]', 'stringLimits = [256, 256]', 'messages are cut more than they have to be'],
      ],
    },
    {
      file: 'src/core/waiting.ts',
      by: ['test/core/waiting.test.ts'],
      changes: [
        ['if (signal.aborted) onAbort()\n    else ', '', 'work that begins after a hang-up is waited for without end'],
        [
          '[Symbol.dispose]: () => void all.delete(late)',
          '[Symbol.dispose]: () => {}',
          'a 504 names a token that has come',
        ],
        ['  } finally {\n    clearTimeout(timer)\n  }', '  } finally {\n  }', 'a timer is left by each limited wait'],
        ['wait(ms, undefined, signal && {signal})', 'wait(ms)', 'a pause goes on for a caller who hung up'],
      ],
    },
    {
      file: 'src/core/caller.ts',
      by: ['test/auth/door.test.ts', 'test/auth/webhooks.test.ts'],
      changes: [
        [
          'for (const part of Object.values(value)) frozen(part)\n',
          '',
          'a function changes the claims of the next request with the same token',
        ],
        ['{[caller.kind]: caller.name}', '{key: caller.name}', 'a backend takes a webhook for a key'],
      ],
    },
    {
      file: 'src/core/coded-etag.ts',
      by: ['test/functions/conventions.test.ts'],
      changes: [
        ["etag.startsWith('\"') ? `", 'true ? `', 'a weak etag is malformed where the answer is compressed'],
        ["etag.replace(coded, '')", 'etag', 'an update with the etag of a compressed answer is refused'],
        ['(?:br|gzip)', 'gzip', 'an update with the etag of an answer in brotli is refused'],
      ],
    },
    {
      file: 'src/core/shortened.ts',
      by: ['test/core/shortened.test.ts'],
      changes: [
        ['splitsPair ? most - 1 : most', 'most', 'a message ends with half a character'],
        [
          'if (text.length <= most) return text',
          'if (text.length < most) return text',
          'a text that fits gets an ellipsis',
        ],
      ],
    },
    {
      file: 'src/core/presets.ts',
      by: ['test/functions/gateway-presets.test.ts'],
      changes: [
        [
          'Object.entries(env).filter(([, value]) => value)',
          'Object.entries(env)',
          'an empty variable switches a part of the preset off',
        ],
      ],
    },
    {
      file: 'src/core/answer-body.ts',
      by: ['test/clients/metadata-answers.test.ts'],
      changes: [
        ['if (size > maxBytes) throw', 'if (chunk.length > maxBytes) throw', 'an endless answer fills the memory'],
      ],
    },
    {
      file: 'src/core/telemetry/open-telemetry.ts',
      by: ['test/functions/telemetry.test.ts'],
      changes: [
        ["methods.has(given) ? given : '_OTHER'", 'given', 'callers create time series'],
        ['instruments.active.add(-1, common)', 'instruments.active', 'requests count as active for ever'],
        [
          '(performance.now() - began) / 1000, measured, inside',
          'performance.now() - began, measured, inside',
          'durations of requests are a thousand times as long',
        ],
        [
          '(performance.now() - began) / 1000, {...attributes, ...ended}, inside',
          'performance.now() - began, {...attributes, ...ended}, inside',
          'durations of calls are a thousand times as long',
        ],
        ["protocol === 'https:' ? 443 : 80", '443', 'a span names another port than the one that is called'],
        ["...(code !== 'OK' && {'error.type': code})", "...{'error.type': code}", 'calls that succeed count as errors'],
        ["route && {'http.route': route}", 'false', 'metrics cannot be told apart by route'],
        [
          'facts.bodySize !== undefined) instruments.requestSize',
          'facts.bodySize === undefined) instruments.requestSize',
          'sizes of requests are missing',
        ],
        ["method.slice(0, method.lastIndexOf('/'))", 'method', 'tools that read the former names find no service'],
        [
          '  } catch (error) {\n    diag.error',
          '  } catch (error) {\n    throw error\n    diag.error',
          'a broken SDK fails requests',
        ],
      ],
    },
    {
      file: 'src/core/telemetry/telemetry.ts',
      by: ['test/functions/telemetry.test.ts'],
      changes: [
        ['      isLost = true\n', '', 'an API that cannot be loaded is loaded, and warned of, by each request'],
      ],
    },
    {
      file: 'src/run.ts',
      by: config,
      changes: [['process.exit(1)', 'process.exit(0)', 'a deployment with a wrong configuration looks like a success']],
    },
    {
      file: 'src/run.ts',
      by: ['test/functions/gateway-start.test.ts'],
      changes: [
        ['readConfig(environment, process.argv)', 'readConfig(environment)', '--target has no effect'],
        [
          "error instanceof Error && error.name === 'ConfigError' ? error.message : ",
          '',
          'a wrong variable is answered with a stack',
        ],
      ],
    },
    {
      file: 'src/deployed.ts',
      by: config,
      changes: [
        [
          "  health: (runtime) => require('./functions/health.ts').health(runtime),\n",
          '',
          'the function health cannot be deployed',
        ],
        [
          "  finalized: (runtime) => require('./functions/finalized.ts').finalized(runtime),\n",
          '',
          'the function finalized cannot be deployed',
        ],
      ],
    },
    {
      file: 'src/start.ts',
      by: ['test/project-start.test.ts'],
      changes: [
        [
          'isBuilt || !environment.K_SERVICE ? undefined',
          'isBuilt ? undefined',
          'an old build runs on the machine of a developer',
        ],
        ['isBuilt || !environment.K_SERVICE ? undefined', 'true ? undefined', 'a deployment never runs its build'],
        [
          "if (existsSync(join(root, 'package.json'))) return undefined",
          '',
          'the build of a project around this one runs',
        ],
      ],
    },
  ],
}
