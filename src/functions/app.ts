import {createRequire} from 'node:module'
import type {Runtime} from '../clients/runtime.ts'
import {byPath} from '../http/by-path.ts'
import type {Handler} from '../http/scope.ts'
import {gateway} from './gateway.ts'
import {health} from './health.ts'
import {ping} from './ping.ts'
import {upload} from './upload.ts'

const require = createRequire(import.meta.url)

/**
 * All functions behind one entry point; `finalized` only if UPLOAD_CONTEXT is set, and upload-session only if UPLOAD_SESSIONS is set.
 * The gateway has all paths that no other function has.
 * @throws {ConfigError} for a rule at the path of another function
 */
export function app(runtime: Runtime): Handler {
  const finalized = (runtime: Runtime): Handler => require('./finalized.ts').finalized(runtime)
  const events = runtime.config.uploadContext && {'/finalized': finalized}
  const session = (runtime: Runtime): Handler => require('./upload-session.ts').uploadSession(runtime)
  const sessions = runtime.config.uploadSessions && {'/upload/session': session}
  return byPath(runtime, {'/ping': ping, '/upload': upload, ...sessions, '/health': health, ...events}, gateway)
}
