import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {bundle} from '../../tools/bundle/bundle.ts'
import {linkPackages, root, send} from '../../tools/deployment.ts'

/** This project in a temporary folder, as it is deployed: the files that gcloud sends, built, with the packages that remain. */
export async function deployed(): Promise<{folder: string} & Disposable> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'))
  const remove = () => rmSync(folder, {recursive: true})
  try {
    send(folder, root)
    linkPackages(folder, root)
    const {problems} = await bundle({root: folder, node: process.execPath})
    if (problems.length > 0) throw new Error(problems.join('\n'))
  } catch (error) {
    remove()
    throw error
  }
  return {folder, [Symbol.dispose]: remove}
}
