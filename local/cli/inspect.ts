import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync, readdirSync, readFileSync, statSync} from 'node:fs'
import {extname, join} from 'node:path'
import type {Readable} from 'node:stream'
import {text} from 'node:stream/consumers'
import type {Project} from '../dev/dev.ts'
import type {Inspected, Inspection} from './inspect-main.ts'
import {CommandError, progress} from './output.ts'

/**
 * Starts the functions of `project` with this environment to inspect them, without listening.
 * @throws {CommandError} when they cannot be started at all, for example because of a syntax error
 */
export async function inspect(project: Project, inspection: Inspection = {}): Promise<Inspected> {
  await upToDate(project)
  return await progress('Starting the functions to look at them', start(project, inspection))
}

/** The path of the functions' descriptors, which are generated again if a proto is newer. */
export async function upToDate(project: Project): Promise<string> {
  const descriptors = join(project.root, 'src/gen/descriptors.binpb')
  const made = existsSync(descriptors) ? statSync(descriptors).mtimeMs : 0
  const [protos = 'proto'] = project.folders.protos
  const isMade = made > 0 && (project.hasGenerated || newest(join(project.root, protos)) <= made)
  if (!isMade) await progress('Making src/gen of proto/', project.generate())
  return descriptors
}

function newest(folder: string): number {
  if (!existsSync(folder)) return 0
  const paths = readdirSync(folder, {recursive: true, encoding: 'utf8'}).map((path) => join(folder, path))
  return Math.max(...[folder, ...paths].map((path) => statSync(path).mtimeMs))
}

async function start({root}: Project, inspection: Inspection): Promise<Inspected> {
  const {main = 'index.js'} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {main?: string}
  // This file is TypeScript here, and JavaScript in the package.
  const inspector = join(import.meta.dirname, `inspect-main${extname(import.meta.filename)}`)
  const hasBackend = Object.keys(process.env).some((name) => /^BACKEND_URL(_|$)/.test(name))
  const child = spawn(
    process.execPath,
    ['--conditions=grpc-functions-source', inspector, join(root, main), JSON.stringify(inspection)],
    {
      cwd: root,
      env: {
        FUNCTION_TARGET: 'all',
        // A placeholder, which is never called.
        ...(!hasBackend && {BACKEND_URL: 'http://localhost:1', BACKEND_AUDIENCE: 'none'}),
        ...process.env,
        LOG_LEVEL: 'silent',
      },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    },
  )
  const [errors, told] = await Promise.all([text(child.stderr!), text(child.stdio[3] as Readable), once(child, 'exit')])
  const inspected = told ? (JSON.parse(told) as Inspected) : undefined
  if (!inspected || (!inspected.schema && inspected.failed)) {
    throw new CommandError(`The functions cannot be started:\n${errors.trim()}`)
  }
  return {...inspected, errors: errors.trim()}
}
