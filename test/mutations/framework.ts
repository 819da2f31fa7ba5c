import type {Room} from './mutations.ts'

const hangUp = ['test/http/hang-up.test.ts']
const direct = ['test/http/direct.test.ts']
const malformed = ['test/http/malformed.test.ts']

export const framework: Room = {
  tests: [
    'test/http/{direct,raw-requests,malformed,hang-up,body,shutdown,small-pieces,hostile}.test.ts',
    'test/functions/web-socket.test.ts',
    'test/{config,log}.test.ts',
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
  ],
}
