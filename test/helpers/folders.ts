import {readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'

/** The paths of files that are in only one of two folders, or differ. */
export function differing(one: string, other: string): string[] {
  const [left, right] = [filesIn(one), filesIn(other)]
  return Object.keys({...left, ...right}).filter((path) => left[path] !== right[path])
}

function filesIn(folder: string): Record<string, string> {
  const entries = readdirSync(folder, {recursive: true, withFileTypes: true}).filter((entry) => entry.isFile())
  const paths = entries.map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length), readFileSync(path, 'base64')]))
}
