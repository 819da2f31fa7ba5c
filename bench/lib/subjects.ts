/** What `npm run bench` measures: each is a file of `bench/`. */
export const subjects = {
  'cold-start': 'a new instance until its first answer: hello, by hand, ours from source and built',
  unary: 'a unary call as deployed against grpc-js by hand and connect-es, 32 at once and one at a time',
  gateway: 'what the gateway adds to a unary call',
  'log-and-token': 'what the log line and the ID token cost in a unary call',
  bodies: 'unary calls with JSON of 64 KiB and 1 MiB, and how long one body holds the event loop',
  streams: 'server, client and bidirectional streams of small messages against by hand and connect-es',
  messages: 'client streams of the smallest messages, by their form',
  upload: 'uploads against the pipe that one writes first',
  auth: 'what the verification of a token adds to a call',
  mcp: 'a call of a tool beside the same call by REST',
  routing: 'look-ups among 10 and 5,000 bindings',
  methods: 'a start with 5,000 methods against one with 10',
  'event-streams': 'what 1,000 idle event streams take of memory',
  memory: 'what many requests at once, and large ones, take of memory',
  limits: 'what an instance of 256 MiB outlives',
} as const satisfies Record<string, string>

export type SubjectName = keyof typeof subjects
