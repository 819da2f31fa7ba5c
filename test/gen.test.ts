import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'
import {generate} from '../scripts/generate.ts'
import {differing} from './helpers/folders.ts'

const root = join(import.meta.dirname, '..')

test('the generated code is current: else run "npm run generate"', (t) => {
  const fresh = mkdtempSync(join(tmpdir(), 'gen-'))
  t.teardown(() => rmSync(fresh, {recursive: true}))
  for (const folder of generate(fresh)) t.deepEqual(differing(join(root, folder), join(fresh, folder)), [], folder)
})
