import {Agent, request} from 'node:http'
import {setTimeout as pause} from 'node:timers/promises'
import {ask, end, functionProcess, median, stackProcess, type Usage} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/** The cost of a tool call compared with the same call by REST: CPU of one process per request, both measured in turns in one run. */
const rounds = roundsOr(7)
const requests = 2000
const concurrency = 16
/** Aim for a tool call, as a multiple of REST. */
const aim = 2

const agent = new Agent({keepAlive: true, maxSockets: concurrency})
const stack = await stackProcess({size: 0})
const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench', MCP: 'true'}
const {child, url} = await functionProcess('src/main.js', 'gateway', env)

const params = {name: 'PingService_Send', arguments: {message: 'hello'}}
const modern = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': {name: 'bench', version: '1'},
  'io.modelcontextprotocol/clientCapabilities': {},
}
const json = {'content-type': 'application/json', accept: 'application/json, text/event-stream'}
const call = (params: object) => JSON.stringify({jsonrpc: '2.0', id: 1, method: 'tools/call', params})
const modernHeaders = {
  ...json,
  'mcp-protocol-version': '2026-07-28',
  'mcp-method': 'tools/call',
  'mcp-name': params.name,
}
const kinds = {
  REST: {path: '/api/ping', headers: json, body: '{"message": "hello"}'},
  'MCP 2026-07-28': {path: '/mcp', headers: modernHeaders, body: call({...params, _meta: modern})},
  'MCP 2025-11-25': {path: '/mcp', headers: {...json, 'mcp-protocol-version': '2025-11-25'}, body: call(params)},
} as const
type Kind = keyof typeof kinds

const names = Object.keys(kinds) as Kind[]
const cost = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Kind, number[]>
for (let round = 0; round <= rounds; round++) {
  for (const name of names) {
    const measured = await measure(name)
    if (round > 0) cost[name].push(measured)
  }
}
const rest = median(cost.REST)
keep('mcp', [
  {
    title: `${requests} calls, ${concurrency} at a time, medians of ${rounds}`,
    rows: Object.fromEntries(
      names.map((name) => [
        name,
        {'CPU µs a call': spreadOf(cost[name]), '× REST': Number((median(cost[name]) / rest).toFixed(2))},
      ]),
    ),
    verdict: `Aim: under ${aim} times REST.`,
  },
])
agent.destroy()
await end(child, 'SIGTERM')
await end(stack.child, 'stop')

/** CPU of the function's process per request, in µs. */
async function measure(name: Kind): Promise<number> {
  await pause(50)
  await ask<Usage>(child, 'usage')
  let left = requests
  await Promise.all(
    Array.from({length: concurrency}, async () => {
      while (left-- > 0) await send(name)
    }),
  )
  const {cpuSeconds} = await ask<Usage>(child, 'usage')
  return (cpuSeconds / requests) * 1e6
}

function send(name: Kind): Promise<void> {
  const {path, headers, body} = kinds[name]
  return new Promise((resolve, reject) => {
    const sent = request(url + path, {agent, method: 'POST', headers}, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('end', () => {
        const text = Buffer.concat(pieces).toString()
        if (response.statusCode === 200 && text.includes('hello')) resolve()
        else reject(new Error(`${name} answered ${response.statusCode}: ${text}`))
      })
    })
    sent.on('error', reject).end(body)
  })
}
