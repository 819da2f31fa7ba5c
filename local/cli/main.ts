#!/usr/bin/env node
import {CommanderError} from 'commander'
import {fail} from './output.ts'
import {program} from './program.ts'

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else fail(error, process.argv.includes('--json'))
}
