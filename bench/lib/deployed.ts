import {existsSync, mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {bundle} from '../../tools/bundle/bundle.ts'
import {linkPackages, root, send} from '../../tools/deployment.ts'

/** This project in a temporary folder, as it is deployed: the files that gcloud sends, built, with the packages that remain. */
export async function deployed(): Promise<{folder: string} & Disposable> {
  // A run of several subjects builds it only once.
  const shared = process.env.BENCH_BUILD
  const folder = shared ?? mkdtempSync(join(tmpdir(), 'bench-'))
  const remove = () => rmSync(folder, {recursive: true})
  const kept = {folder, [Symbol.dispose]: shared === undefined ? remove : () => {}}
  if (existsSync(join(folder, 'dist'))) return kept
  try {
    send(folder, root)
    linkPackages(folder, root)
    const {problems} = await bundle({root: folder, node: process.execPath})
    if (problems.length > 0) throw new Error(problems.join('\n'))
  } catch (error) {
    remove()
    throw error
  }
  return kept
}
