import {execFileSync} from 'node:child_process'
import {mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'

const root = join(import.meta.dirname, '..')

function filesIn(folder: string): Record<string, string> {
  const entries = readdirSync(folder, {recursive: true, withFileTypes: true}).filter((entry) => entry.isFile())
  const paths = entries.map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length), readFileSync(path, 'base64')]))
}

test('src/gen is what buf generates from proto/: else run "npm run generate"', (t) => {
  const fresh = mkdtempSync(join(tmpdir(), 'gen-'))
  t.teardown(() => rmSync(fresh, {recursive: true}))
  execFileSync('buf', ['generate', '--output', fresh], {cwd: root})
  const descriptors = join(fresh, 'src/gen/descriptors.binpb')
  execFileSync('buf', ['build', 'proto', '--as-file-descriptor-set', '-o', descriptors], {cwd: root})
  const [kept, made] = [filesIn(join(root, 'src/gen')), filesIn(join(fresh, 'src/gen'))]
  const differing = Object.keys({...kept, ...made}).filter((path) => kept[path] !== made[path])
  t.deepEqual(differing, [])
})
