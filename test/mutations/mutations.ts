import {auth} from './auth.ts'
import {clients} from './clients.ts'
import {core} from './core.ts'
import {events} from './events.ts'
import {framework} from './framework.ts'
import {gateway} from './gateway.ts'
import {http} from './http.ts'
import {storage} from './storage.ts'
import {transcoding} from './transcoding.ts'
import {upload} from './upload.ts'

/**
 * The text to replace, its replacement, and what a user would see of the fault. The text must occur exactly once in its file.
 * `mayLive`: why no test notices the fault, if none can, or if no user would see it.
 */
export type Change = readonly [find: string, replace: string, seen: string, mayLive?: string]

/** Faults in one file. */
export interface FaultyFile {
  readonly file: string
  /** The tests that should notice the faults: they run first. */
  readonly by: readonly string[]
  readonly changes: readonly Change[]
}

/** A folder in which a silent fault would hurt. */
export interface Room {
  /** Patterns of all tests of the room. */
  readonly tests: readonly string[]
  readonly files: readonly FaultyFile[]
}

/** A single fault to put into the source. */
export interface Mutation {
  readonly room: string
  readonly file: string
  readonly find: string
  readonly replace: string
  readonly seen: string
  readonly mayLive: string | undefined
  /** Patterns of tests; those that should notice it first. */
  readonly tests: readonly (readonly string[])[]
}

export const rooms: Readonly<Record<string, Room>> = {
  clients,
  storage,
  upload,
  http,
  transcoding,
  gateway,
  auth,
  events,
  core,
  framework,
}

/** All tests, except for the one that checks the texts to replace, which fails with any fault. */
const suite = ['test/**/*.test.ts', 'samples/test/**/*.test.ts', '!test/mutations.test.ts']

/** All faults, by room. */
export const mutations: readonly Mutation[] = Object.entries(rooms).flatMap(([room, {tests, files}]) =>
  files.flatMap(({file, by, changes}) =>
    changes.map(([find, replace, seen, mayLive]) => ({
      room,
      file,
      find,
      replace,
      seen,
      mayLive,
      tests: [by, tests, suite],
    })),
  ),
)

/** The position of the text to replace, as `file:line`. @throws {Error} unless it occurs exactly once */
export function placeOf({file, find}: Mutation, source: string): string {
  const at = source.indexOf(find)
  const times = at < 0 ? 'not' : source.indexOf(find, at + 1) < 0 ? 'once' : 'more than once'
  if (times !== 'once') throw new Error(`${file} has ${JSON.stringify(find)} ${times}: expected it exactly once`)
  return `${file}:${source.slice(0, at).split('\n').length}`
}

/** `source` with the fault. The replacement is a function, because "$&" and the like have a meaning in a string. */
export function withFault({find, replace}: Mutation, source: string): string {
  return source.replace(find, () => replace)
}
