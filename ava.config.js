import {join} from 'node:path'

export default {
  files: ['test/**/*.test.ts', 'samples/test/**/*.test.ts'],
  extensions: ['ts'],
  timeout: '2m',
  // A process each, not a thread: a thread that crashes takes the whole run with it and no file is named, and V8's flags, which some
  // of what is tested sets, belong to the process.
  workerThreads: false,
  // Each file loads much the same modules: what Node made of them is kept, which is a fifth of the run.
  environmentVariables: {
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(import.meta.dirname, 'node_modules/.cache/node'),
  },
}
