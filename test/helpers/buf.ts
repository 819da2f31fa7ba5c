import {execFileSync} from 'node:child_process'
import {createHash} from 'node:crypto'
import {existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'

const root = join(import.meta.dirname, '../..')
const cache = join(root, 'node_modules/.cache/protos')

/** The texts of proto files, by their paths. */
export type Protos = Readonly<Record<string, string>>

/** The files in the folder `from` of this project, as files of the folder `to`. */
export function protosIn(from: string, to = ''): Protos {
  const entries = readdirSync(join(root, from), {recursive: true, withFileTypes: true})
  const files = entries.filter((entry) => entry.isFile()).map(({parentPath, name}) => join(parentPath, name))
  return Object.fromEntries(files.map((file) => [join(to, file.slice(join(root, from, '/').length)), textOf(file)]))
}

/**
 * The set of descriptors that `buf build` makes from `protos`. Many tests need the same one: it is built once, and kept below
 * node_modules/, under a hash of all that it depends on.
 */
export function bufBuild(protos: Protos, ...args: readonly string[]): Buffer {
  const {version} = JSON.parse(textOf(join(root, 'node_modules/@bufbuild/buf/package.json'))) as {version: string}
  const key = createHash('sha256').update(JSON.stringify([version, args, Object.entries(protos).sort()]))
  const kept = join(cache, key.digest('hex'))
  if (!existsSync(kept)) {
    const folder = mkdtempSync(join(tmpdir(), 'protos-'))
    try {
      for (const [path, text] of Object.entries(protos)) {
        mkdirSync(dirname(join(folder, path)), {recursive: true})
        writeFileSync(join(folder, path), text)
      }
      writeFileSync(join(folder, 'buf.yaml'), 'version: v2\n')
      const made = `${kept}.${process.pid}`
      mkdirSync(cache, {recursive: true})
      execFileSync(join(root, 'node_modules/.bin/buf'), ['build', ...args, '-o', `${made}#format=binpb`], {cwd: folder})
      // Another process may make the same one.
      renameSync(made, kept)
    } finally {
      rmSync(folder, {recursive: true})
    }
  }
  return readFileSync(kept)
}

function textOf(path: string): string {
  return readFileSync(path, 'utf8')
}
