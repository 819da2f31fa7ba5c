#!/usr/bin/env node
import {runCreate} from '../../packages/create-grpc-functions/src/run.ts'
import {generate} from './generate.ts'
import {key} from './key.ts'
import {start} from './start.ts'

const help = `grpc-functions COMMAND

  init FOLDER           makes a project in FOLDER
  generate              makes src/gen/ of proto/: JavaScript, types and descriptors
  start [--target=app]  generates, then serves the functions on PORT (8080) of this machine, in front of a local stack
  key NAME [methods]    makes an API key, and its line for the file of AUTH_API_KEYS

What the environment names is not started: BACKEND_URL (gRPC services), STORAGE_EMULATOR_HOST (Storage), GCE_METADATA_HOST
(metadata server).`

const [command = '', ...args] = process.argv.slice(2)
const target = /^--target=(.+)$/.exec(args[0] ?? '')?.[1]

if (command === 'init') runCreate(args, 'grpc-functions init')
else if (command === 'key') key(args, 'grpc-functions key')
else if (command === 'generate' && args.length === 0) await told(() => generate(process.cwd()))
else if (command === 'start' && args.length === (target ? 1 : 0)) await told(() => start(process.cwd(), target))
else if (command === '--help' || command === '-h') console.log(help)
else {
  console.error(command ? `Cannot run "${[command, ...args].join(' ')}": expected one of\n\n${help}` : help)
  process.exitCode = 1
}

/** A failure is a line for the person at the terminal. */
async function told(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error))
    process.exit(1)
  }
}
