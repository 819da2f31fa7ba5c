import {createServer} from 'node:http'
import {fromBinary, fromJsonString, toBinary, toJsonString} from '@bufbuild/protobuf'
import {Client, credentials} from '@grpc/grpc-js'
import {Kinds} from '../../test/local/kinds.ts'

/**
 * Event streams of `test.Kinds/Down` with nothing but Node's HTTP server and grpc-js: no framework, token, log, deadline, keep-alive,
 * back-pressure or errors. A connection to the backend takes 100 calls, so there are many of them.
 */
const connections = 25
const clients = Array.from(
  {length: connections},
  () =>
    new Client(new URL(process.env.BACKEND_URL).host, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    }),
)
const {input, output} = Kinds.method.down
const serialize = (message) => Buffer.from(toBinary(input, message))
const deserialize = (bytes) => fromBinary(output, bytes)
let requests = 0

createServer((request, response) => {
  let body = ''
  request.on('data', (piece) => {
    body += piece
  })
  request.on('end', () => {
    response.setHeader('content-type', 'text/event-stream')
    const client = clients[requests++ % connections]
    client
      .makeServerStreamRequest('/test.Kinds/Down', serialize, deserialize, fromJsonString(input, body))
      .on('data', (message) => response.write(`data: ${toJsonString(output, message)}\n\n`))
      .on('error', () => response.destroy())
      .on('end', () => response.end())
  })
}).listen(Number(process.env.PORT))
