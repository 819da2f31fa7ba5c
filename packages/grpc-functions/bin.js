#!/usr/bin/env node
// `npx grpc-functions …` without an installation: `init` does the same as `npm create grpc-functions`. In a project it
// runs the command of grpc-functions-dev, so it does not matter which of the two npm has linked.
import './lib/node-version.js'
import {spawnSync} from 'node:child_process'
import {createRequire} from 'node:module'
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'

const [command, ...args] = process.argv.slice(2)
const dev = developmentCommand()

if (dev) await import(pathToFileURL(dev).href)
else if (command === 'init') {
  const {status} = spawnSync('npx', ['--yes', 'create-grpc-functions', ...args], {stdio: 'inherit'})
  process.exitCode = status ?? 1
} else {
  const asked = command === '--help'
  console[asked ? 'log' : 'error'](
    'npx grpc-functions init FOLDER: makes a project in FOLDER. All other commands come with grpc-functions-dev: npm install -D grpc-functions-dev',
  )
  process.exitCode = asked ? 0 : 1
}

function developmentCommand() {
  const require = createRequire(join(process.cwd(), 'package.json'))
  try {
    const manifest = require.resolve('grpc-functions-dev/package.json')
    return join(manifest, '..', require(manifest).bin['grpc-functions'])
  } catch {
    return undefined
  }
}
