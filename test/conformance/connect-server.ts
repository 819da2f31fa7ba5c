import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import type {AddressInfo} from 'node:net'
import {buffer} from 'node:stream/consumers'
import {create, type DescMessage, fromBinary, toBinary} from '@bufbuild/protobuf'
import {getTestServer} from '@google-cloud/functions-framework/testing'
import {createRuntime, gateway, readConfig, register} from '../../src/index.ts'
import {readSchema} from '../../src/transcoding/index.ts'

// The suite starts this as the server under test, once for each set of features: the gateway, and behind it the suite's own gRPC
// server. Request (stdin) and response (stdout) are messages with a length prefix.

const [program = '', descriptors = ''] = process.argv.slice(2)
const prefixSize = 4
const most = 2 ** 31 - 1

const registry = readSchema(readFileSync(descriptors))
const asked = fromBinary(messageOf('ServerCompatRequest'), (await buffer(process.stdin)).subarray(prefixSize))
const {messageReceiveLimit} = asked as unknown as {messageReceiveLimit: number}

const backend = spawn(program, ['-json', '-port', '0'], {stdio: ['pipe', 'pipe', 'inherit']})
process.on('exit', () => backend.kill())
backend.on('exit', (code) => process.exit(code ?? 1))
// The limit applies to the gateway: a message to the backend may be longer than the JSON that it was made from.
const settings = {protocol: 'PROTOCOL_GRPC', httpVersion: 'HTTP_VERSION_2', messageReceiveLimit: most}
backend.stdin.end(JSON.stringify(settings))
const [told] = (await once(backend.stdout, 'data')) as [Buffer]
const {host, port} = JSON.parse(told.toString()) as {host: string; port: number}

const runtime = createRuntime(
  readConfig({
    BACKEND_URL: `http://${host}:${port}`,
    GATEWAY_DESCRIPTORS: descriptors,
    GATEWAY_SERVICES: 'connectrpc.conformance.v1.ConformanceService',
    FUNCTION_TARGET: 'gateway',
    LOG_LEVEL: 'silent',
    ...(messageReceiveLimit > 0 && {GATEWAY_MAX_BODY_BYTES: String(messageReceiveLimit)}),
  }),
)
register(runtime, {gateway})
const server = getTestServer('gateway').listen(0, '127.0.0.1')
await once(server, 'listening')
const address = server.address() as AddressInfo
const desc = messageOf('ServerCompatResponse')
const response = toBinary(desc, create(desc, {host: address.address, port: address.port}))
const prefix = Buffer.alloc(prefixSize)
prefix.writeUInt32BE(response.length)
process.stdout.write(Buffer.concat([prefix, response]))

function messageOf(name: string): DescMessage {
  return registry.getMessage(`connectrpc.conformance.v1.${name}`)!
}
