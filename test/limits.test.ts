import {globSync, readFileSync} from 'node:fs'
import {STATUS_CODES} from 'node:http'
import {join} from 'node:path'
import test from 'ava'
import {limits} from './limits.ts'

const root = join(import.meta.dirname, '../src')

/** Comments, strings, templates and regular expressions: numbers in them are text. */
const texts =
  /\/\*[\s\S]*?\*\/|\/\/.*|'(?!grpc\.)(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|"(?:\\.|[^"\\\n])*"|(?<=[=(,:&|!?]\s*)\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n[])+\/[a-z]*/g
const literal = String.raw`\d[\d_]*(?:\.[\d_]+)?(?:e\d+)?n?`
/** A number or a product of numbers, with the name that it is assigned to, if any. */
const numbers = new RegExp(
  String.raw`(?<![\w$.])(?:([A-Za-z]\w*|'grpc\.[\w.]+')(?:: number)?\s*([:=])\s*)?(${literal}(?:\s*\*{1,2}\s*${literal})*)(?![\w.])`,
  'g',
)
/** Numbers that convert units or count bits; they are not limits. */
const arithmetic = new Set([
  '1000',
  '16',
  '60',
  '64',
  '2 ** 31',
  '2 ** 32',
  '2n ** 31n',
  '2n ** 32n',
  '2n ** 63n',
  '2n ** 64n',
])
/** The states of the splitter, and of what it expects next. They only have to be different. */
const states = new Set([
  'between',
  'inString',
  'inEscape',
  'inNest',
  'inScalar',
  'anyValue',
  'firstItem',
  'item',
  'comma',
  'nothing',
])
/** Smaller numbers in the middle of code are arithmetic or indexes. */
const least = 16

interface Found {
  readonly file: string
  readonly name: string
  readonly text: string
}

/** Each constant of time, size or number in src: all constants at the top level, by name, and all others except small ones. */
function found(): Found[] {
  return globSync('**/*.ts', {cwd: root})
    .filter((file) => !file.startsWith('gen/'))
    .sort()
    .flatMap((file) => {
      const code = readFileSync(join(root, file), 'utf8').replace(texts, (text) => text.replace(/[^\n]/g, ' '))
      return [...code.matchAll(numbers)].flatMap(({index, 1: name, 2: sign, 3: text = ''}) => {
        const line = code.slice(code.lastIndexOf('\n', index) + 1, index)
        const isConstant = (/^(export )?const $/.test(line) && sign === '=') || /^(export )?const \[/.test(line)
        if (name && (states.has(name) || name === 'badGateway')) return []
        if (!isConstant && (numberIn(text) < least || isStatus(text, name) || (!name && arithmetic.has(text))))
          return []
        return {file, name: (name ?? text).replaceAll("'", ''), text}
      })
    })
}

function numberIn(text: string): number {
  const factors = text.replaceAll(/[_n]/g, '').split(/(?<!\*)\*(?!\*)/)
  return factors.reduce((product, factor) => {
    const [base = '', power = '1'] = factor.split('**')
    return product * Number(base) ** Number(power)
  }, 1)
}

/** Whether it is a status code of HTTP or gRPC: these have their own tables and tests. */
function isStatus(text: string, name: string | undefined): boolean {
  if (text === '499' || /^2n? \*\* /.test(text)) return true
  return text in STATUS_CODES ? !name || /^(http|status|[A-Z_]+)$/.test(name) : /^[A-Z_]{2,}$/.test(name ?? '')
}

test('each limit in src is in the table of limits with its value, and the table has no others', (t) => {
  const rows = Object.entries(limits).flatMap(([file, names]) =>
    Object.entries(names).map(([name, [value]]) => `${file}: ${name} = ${value}`),
  )
  const all = new Set(found().map(({file, name, text}) => `${file}: ${name} = ${numberIn(text)}`))
  // A limit is only changed deliberately: in src, and in test/limits.ts, which has the reasons.
  t.deepEqual(
    {
      'not in the table': [...all].filter((limit) => !rows.includes(limit)),
      'not in src': rows.filter((row) => !all.has(row)),
    },
    {'not in the table': [], 'not in src': []},
  )
})

test('limits that depend on each other agree', (t) => {
  const of = (file: string, name: string) => limits[file]![name]![0]
  const stop = (name: string) => of('framework/shutdown.ts', name)
  const cloudRunKills = 10_000
  t.true(
    stop('patience') + stop('abortGrace') + stop('closing') < cloudRunKills,
    'an instance stops before it is killed',
  )
  t.true(
    of('http/serve.ts', 'abortGrace') < of('http/serve.ts', 'timeToAnswer'),
    'a 504 leaves before the platform sends its own',
  )
  t.true(of('http/response/responder.ts', 'minReadTime') <= of('http/serve.ts', 'timeToAnswer'))
  t.true(
    of('upload/send.ts', 'defaultChunkBytes') >
      of('clients/connections/connecting.ts', 'grpc.per_rpc_retry_buffer_size'),
    'a chunk whose buffer is used again is never kept to be sent again',
  )
  t.true(
    of('clients/calls/batch.ts', 'batchSize') <=
      of('clients/connections/connecting.ts', 'grpc.per_rpc_retry_buffer_size'),
  )
  t.is(of('framework/raw-requests.ts', 'longestTimeout'), 1000 * of('core/settings.ts', '3600'), 'the longest timeout')
  t.is(of('gateway/gateway.ts', 'recursionLimit'), of('transcoding/json/message.ts', 'recursionLimit'))
  t.true(of('clients/identity/id-tokens.ts', 'patience') < of('clients/service-client.ts', 'defaultTimeout'))
  t.true(of('functions/health.ts', 'patience') < 5000)
})
