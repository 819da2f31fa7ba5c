import {existsSync, realpathSync} from 'node:fs'
import {extname, join} from 'node:path'
import type {Project} from '../dev/dev.ts'
import {generate} from './commands/generate.ts'
import {CommandError} from './output.ts'

/** The folder of the project that commands are for: the working directory. */
export const root = process.cwd()

/**
 * The project in the working directory: this repository, or one that has been made by `init`.
 * @throws {CommandError} when there is none
 */
export async function thisProject(): Promise<Project> {
  if (!existsSync(join(root, 'package.json'))) {
    throw new CommandError(`There is no project in ${root}: expected a folder with a package.json, as init makes it`)
  }
  const own = join(import.meta.dirname, '../..')
  if (realpathSync(root) === realpathSync(own) && existsSync(join(own, 'local/start.ts'))) {
    // The packages do not have it.
    const path = '../start.ts'
    return ((await import(path)) as {repository: Project}).repository
  }
  return {
    root,
    hasGenerated: false,
    services: join(import.meta.dirname, `../dev/project-services${extname(import.meta.filename)}`),
    folders: {protos: ['proto'], services: ['local'], functions: ['src'], generated: ['src/gen']},
    generate: () => generate(root),
  }
}
