import {chmodSync, mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test from 'ava'
import {watchFolders} from '../../local/dev/changes.ts'

test('writing, creating and removing a file are changes, and changing permissions is not', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'changes-'))
  t.teardown(() => rmSync(root, {recursive: true}))
  mkdirSync(join(root, 'src/gen'), {recursive: true})
  for (const name of ['same', 'written', 'removed', 'gen/made']) writeFileSync(join(root, 'src', name), 'before')
  await using changes = await watchFolders(root, ['src'], ['src/gen'])
  chmodSync(join(root, 'src/same'), 0o755)
  writeFileSync(join(root, 'src/gen/made'), 'after')
  writeFileSync(join(root, 'src/written'), 'after')
  t.deepEqual(await changes.next(), ['src/written'])
  unlinkSync(join(root, 'src/removed'))
  t.deepEqual(await changes.next(), ['src/removed'])
  writeFileSync(join(root, 'src/removed'), 'again')
  t.deepEqual(await changes.next(), ['src/removed'])
})
