import {subscribe} from 'node:diagnostics_channel'
import {closeSync, writeFileSync} from 'node:fs'
import {type Routes, routesOf, type ToldSchema} from './dev/routes.ts'

const pipe = 3

/** What a process of functions reports once it listens. */
export interface Announcement {
  readonly port: number
  /** The names of all functions of the table; undefined for a project with an older grpc-functions. */
  readonly functions?: readonly string[] | undefined
  /** The routes of their gateway, if they have one. */
  readonly schema?: Routes | undefined
}

let functions: readonly string[] | undefined
let schema: ToldSchema | undefined

subscribe('grpc-functions:functions', (message) => {
  functions = (message as {names: readonly string[]}).names
})
subscribe('grpc-functions:schema', (message) => {
  schema ??= message as ToldSchema
})

/** Tells the process that started this one its port, functions and routes, as JSON on file descriptor 3. */
export function announce(port: number): void {
  const announcement: Announcement = {port, functions, schema: schema && routesOf(schema)}
  writeFileSync(pipe, JSON.stringify(announcement))
  closeSync(pipe)
}

/** Ends this process when the one that started it ends for any reason, which closes stdin. */
export function endWithStarter(): void {
  process.stdin.once('end', () => process.kill(process.pid, 'SIGKILL')).resume()
}
