import {availableParallelism} from 'node:os'
import {join} from 'node:path'

/** The files that take longest, the longest first. */
const longest = [
  'packages/packages',
  'docs',
  'samples',
  'start',
  'local/dev',
  'functions/gateway-start',
  'deploy',
  'http/shutdown',
  'clients/credentials',
  'functions/memory',
  'log',
  'console/page',
]

/** @param {string} file */
function rank(file) {
  const index = longest.findIndex((name) => file.endsWith(`/test/${name}.test.ts`))
  return index < 0 ? longest.length : index
}

export default {
  files: ['test/**/*.test.ts', 'samples/test/**/*.test.ts'],
  extensions: ['ts'],
  // A file waits for a third of its time: for sockets, processes and the disk.
  concurrency: 2 * availableParallelism(),
  // A long file that begins last would run alone.
  sortTestFiles: (one, other) => rank(one) - rank(other),
  // How long nothing may end, in all files that run: on a machine with other work the longest tests take a minute and a half.
  timeout: '5m',
  // A process each, not a thread: a thread that crashes takes the whole run with it and no file is named, and V8's flags belong to the
  // process.
  workerThreads: false,
  // A collection on demand, for tests of what is held; and a young generation that needs no collection while a file loads its modules.
  nodeArguments: ['--expose-gc', '--min-semi-space-size=16'],
  // Each file loads much the same modules: what Node made of them is kept, which is a fifth of the run. So do the processes that tests
  // start: test/helpers/compile-cache.ts.
  environmentVariables: {
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(import.meta.dirname, 'node_modules/.cache/node'),
  },
}
