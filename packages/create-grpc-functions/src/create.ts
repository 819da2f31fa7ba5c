import {cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {basename, dirname, join, resolve} from 'node:path'

/** The project cannot be made. The message is one line for the user. */
export class CreateError extends Error {
  override readonly name = 'CreateError'
}

const template = join(import.meta.dirname, '../template')

/**
 * Makes a project in `folder`, which must be empty or missing. In a git work tree it gets a .gitignore.
 * @returns the paths of its files, relative to `folder`
 * @throws {CreateError} when the folder is not empty, or its name is not valid for an npm package
 */
export function createProject(folder: string): string[] {
  const path = resolve(folder)
  const name = packageName(path)
  if (existsSync(path) && readdirSync(path).some((entry) => entry !== '.git')) {
    throw new CreateError(
      `Cannot create a project in "${folder}": expected a folder that is empty, or that is not there`,
    )
  }
  const inGit = hasGit(path)
  mkdirSync(path, {recursive: true})
  cpSync(template, path, {recursive: true})
  const files = readdirSync(template, {recursive: true, withFileTypes: true})
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(template.length + 1))
  for (const file of ['package.json', 'README.md']) {
    writeFileSync(join(path, file), readFileSync(join(path, file), 'utf8').replaceAll('my-api', name))
  }
  if (!inGit) return files.sort()
  writeFileSync(join(path, '.gitignore'), 'node_modules/\ndist/\n.env*\n')
  return [...files, '.gitignore'].sort()
}

function packageName(path: string): string {
  const name = basename(path)
  if (/^[a-z0-9][a-z0-9._-]{0,213}$/.test(name) && name !== 'node_modules') return name
  throw new CreateError(
    `Cannot create a project named "${name}": expected lower-case letters, digits, "-", "_" and "."`,
  )
}

function hasGit(path: string): boolean {
  return existsSync(join(path, '.git')) || (dirname(path) !== path && hasGit(dirname(path)))
}
