import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'

/** `npm run conformance [-- SUBJECT…]`: public conformance suites, each in a process of its own. */
const subjects = {
  connect: 'Connect and gRPC-Web: the suite of connectrpc, with a gRPC server behind the gateway; needs Go',
  'grpc-gateway':
    'GATEWAY_PRESET=grpc-gateway: the integration tests of grpc-gateway, before their own server; needs Go and ports 8088, 8089 and 9090',
  mcp: 'the Model Context Protocol: its own suite for servers, which npm brings',
  'openapi-client':
    'openapi-typescript and openapi-fetch: what is generated of /openapi.json compiles, and calls each operation',
} as const satisfies Record<string, string>

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !Object.hasOwn(subjects, name))
if (asked.includes('--help') || unknown.length > 0) {
  const rows = Object.entries(subjects).map(([name, meaning]) => `  ${name.padEnd(16)}${meaning}`)
  const [wrong] = unknown.filter((name) => name !== '--help')
  if (wrong) console.error(`conformance: there is no subject "${wrong}"`)
  console.log(['npm run conformance [-- SUBJECT…]: all subjects unless given', ...rows].join('\n'))
  process.exit(wrong ? 2 : 0)
}

for (const name of asked.length > 0 ? asked : Object.keys(subjects)) {
  console.log(`\n${name}`)
  const child = spawn(process.execPath, [join(import.meta.dirname, `${name}.ts`)], {stdio: 'inherit'})
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) process.exitCode = 1
}
