/** The subjects of `npm run bench`: each is a file in `bench/`. */
export const subjects = {
  'cold-start': 'a new instance until its first answer: hello, by hand, ours from source and built',
  unary:
    'a unary call as deployed, compared with grpc-js by hand and connect-es: 32 at once, one at a time, and the first calls',
  gateway: 'the additional cost of the gateway in a unary call',
  'log-and-token': 'the cost of the log line and of the ID token in a unary call',
  bodies: 'unary calls with JSON of 64 KiB and 1 MiB, and how long one body blocks the event loop',
  streams: 'server, client and bidirectional streams of small messages, compared with grpc-js by hand and connect-es',
  messages: 'client streams of the smallest messages, by format',
  upload: 'uploads, compared with the obvious implementation',
  auth: 'the additional cost of verifying a token in a call',
  mcp: 'a tool call, compared with the same call by REST',
  routing: 'look-ups among 10 and 5,000 bindings',
  methods: 'a start with 5,000 methods, compared with one with 10',
  'event-streams': 'the memory of 1,000 idle event streams',
  memory: 'the memory of many concurrent requests, and of large ones',
  limits: 'the load that an instance of 256 MiB survives',
} as const satisfies Record<string, string>

export type SubjectName = keyof typeof subjects
