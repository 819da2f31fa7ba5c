import type {Room} from './mutations.ts'

const hangUp = ['test/http/hang-up.test.ts']
const direct = ['test/http/direct.test.ts']
const malformed = ['test/http/malformed.test.ts']

export const framework: Room = {
  tests: [
    'test/http/{direct,raw-requests,malformed,hang-up,body,shutdown,small-pieces,hostile}.test.ts',
    'test/functions/web-socket.test.ts',
    'test/{config,limits,log}.test.ts',
  ],
  files: [
    {
      file: 'src/framework/connections.ts',
      by: hangUp,
      changes: [
        [
          'server.keepAliveTimeout = longestIdle',
          '',
          'an instance that is thawed resets the connection of the request that woke it',
        ],
        [
          '  socket.end()\n  const timer',
          '  socket.destroy()\n  const timer',
          'the last answer of a connection is lost',
        ],
        [
          'setTimeout(() => socket.destroy(), linger).unref()',
          'setTimeout(() => {}, linger).unref()',
          'a caller who does not close its side keeps the connection for ever',
        ],
      ],
    },
    {
      file: 'src/framework/connections.ts',
      by: malformed,
      changes: [
        [
          "if (response.headersSent) response.once('finish', () => response.req.socket.destroySoon())\n  else ",
          '',
          'bytes that are no HTTP, after an answer has begun, end the process',
        ],
      ],
    },
    {
      file: 'src/framework/direct.ts',
      by: direct,
      changes: [
        ['if (!response.headersSent) response.writeHead(500)', '', 'a request that failed is answered with 200'],
        [
          "log.error({err: error}, 'A request failed outside its function')",
          '',
          'a failure outside of the function is in no log',
        ],
        ['  response.end()\n}', '}', 'a request that failed outside its function is never answered'],
        ["server.off('request', app).prependListener", 'server.prependListener', 'each request is handled twice'],
      ],
    },
    {
      file: 'src/framework/raw-requests.ts',
      by: ['test/http/small-pieces.test.ts'],
      changes: [
        [
          'if (hasBody(request.headers)) gatherSmallPieces(request)',
          '',
          'ten bodies in chunks of one byte fill the memory of an instance',
        ],
      ],
    },
    {
      file: 'src/framework/raw-requests.ts',
      by: malformed,
      changes: [['isLatest(response)\n', '', 'a stray byte takes the answer of the request before it']],
    },
    {
      file: 'src/framework/raw-requests.ts',
      by: hangUp,
      changes: [['endsGently(request.socket)\n', '', 'the last answer of a connection is lost']],
    },
    {
      file: 'src/framework/raw-requests.ts',
      by: ['test/http/raw-requests.test.ts'],
      changes: [
        ['if (!servers.has(server)) return', '', 'other servers of the process are changed'],
        ['server.requestTimeout = longestTimeout', '', 'an upload of more than 300 s is 408'],
        ["request.url = '/'", '', 'the framework answers /favicon.ico by itself'],
        ["delete request.headers['content-type']", '', 'the framework reads bodies into its memory'],
      ],
    },
    {
      file: 'src/framework/shutdown.ts',
      by: ['test/limits.test.ts'],
      changes: [
        ['const patience = 7000', 'const patience = 60_000', 'requests that never end are killed without an answer'],
        ['const closing = 1000', 'const closing = 60_000', 'telemetry that hangs gets the instance killed'],
      ],
    },
    {
      file: 'src/framework/shutdown.ts',
      by: ['test/http/shutdown.test.ts'],
      changes: [
        ['for (const server of servers) server.close()', '', 'idle connections keep the instance until it is killed'],
        ['stopTaking()\n', '', 'an instance that stops takes new requests'],
        ['await drained(abortGrace)', '', 'the 503 at the end of an instance is not sent'],
        ['const quietTurns = 3', 'const quietTurns = 0', 'requests that had arrived are reset'],
        [
          'if (!request.fail(Fault.from(error))) log.error',
          'request.fail(Fault.from(error))\n  if (false) log.error',
          'an error after an answer is in no log',
        ],
        ['withoutDomains()\n', '', 'an unhandled rejection is not logged as ours'],
        ['const crashed = 16', 'const crashed = 0', 'a crash looks like a normal end'],
        ["SIGINT: () => stop('SIGINT', 0),", '', 'Ctrl-C ends requests without an answer'],
      ],
    },
    {
      file: 'src/framework/unreadable.ts',
      by: malformed,
      changes: [
        ['maxHeadersCount = 0', 'maxHeadersCount = 1000', 'a header behind many others is dropped silently'],
        [".on('checkExpectation', on)", '', 'an unknown expectation gets an answer in another format'],
        ['ERR_HTTP_REQUEST_TIMEOUT: [408', 'ERR_HTTP_REQUEST_TIMEOUT: [400', 'a request that comes too slowly is 400'],
        [
          'HPE_CHUNK_EXTENSIONS_OVERFLOW: [413',
          'HPE_CHUNK_EXTENSIONS_OVERFLOW: [400',
          'a body that is too long is 400',
        ],
        ['`Date: ${new Date().toUTCString()}`,', '', 'refusals have no Date'],
        ['{id: randomUUID(), ...unseen}', "{id: 'none', ...unseen}", 'a refusal cannot be found by its id'],
        ['if (left < 0) socket.pause()', '', 'bytes that are no HTTP are read without end'],
        ['else if (last && !last.req.complete) endGently(socket)', '', 'a caller gets two answers for one request'],
        ['if (!req.complete) failAnswerOf(last, faultOf(error))', '', 'a request with a malformed body never ends'],
      ],
    },
    {
      file: 'src/framework/unreadable.ts',
      by: ['test/http/raw-requests.test.ts'],
      changes: [[".on('checkContinue', on)", '', 'a body is invited that nobody may read']],
    },
    {
      file: 'src/framework/unreadable.ts',
      by: ['test/log.test.ts'],
      changes: [['unseen.log.warn(', 'unseen.log.trace(', 'malformed requests are in no log']],
    },
    {
      file: 'src/framework/upgrades.ts',
      by: ['test/functions/web-socket.test.ts'],
      changes: [
        ["&& httpVersion !== '1.0'", '', 'HTTP/1.0 gets a WebSocket, which it does not have'],
        [
          "process.nextTick(() => response.emit('close'))",
          '',
          'libraries that wait for the end of a response wait for ever',
          'nothing of ours waits for it: Node does the same for other responses',
        ],
        ["upgrade?.trim().toLowerCase() === 'websocket'", "upgrade === 'websocket'", 'Upgrade: WebSocket is ignored'],
        ['response.shouldKeepAlive = false', '', 'a refused WebSocket says that its connection can be used again'],
        ['    socket.destroy()\n    return', '    return', 'a WebSocket behind another request hangs'],
        ['    endGently(socket)\n', '', 'the connection of a refused WebSocket stays open'],
      ],
    },
    {
      file: 'src/framework/small-pieces.ts',
      by: ['test/http/small-pieces.test.ts'],
      changes: [
        ['const few = 16', 'const few = 1024', 'bodies in chunks of one byte fill the memory'],
        [
          'request.readableLength + end - start < request.readableHighWaterMark',
          'true',
          'a body that nobody reads fills the memory',
        ],
        ['if (start !== end && request.readableLength === 0) schedule()', '', 'a body in small chunks hangs'],
        ['    flush()\n    // The body has ended', '    // The body has ended', 'the end of a body is lost'],
        [
          'if (piece === null) Object.assign(request, {push, read: take, _read: read})',
          '',
          'each request in progress keeps a buffer that is not used',
        ],
      ],
    },
    {
      file: 'src/framework/unreadable.ts',
      by: ['test/http/hang-up.test.ts'],
      changes: [
        [
          'if (req.socket.readableEnded) hangUp(last, error, unseen)\n  else {',
          '{',
          'a caller that hangs up in its body leaves its request running',
        ],
      ],
    },
  ],
}
