import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {setTimeout as pause} from 'node:timers/promises'
import sparticuz from '@sparticuz/chromium'
import {type BrowserContext, chromium} from 'playwright-core'

/** Whether there is a Chromium for this machine: @sparticuz/chromium brings one by npm alone, for Linux on x64. */
export const hasBrowser = process.platform === 'linux' && process.arch === 'x64'

/** A real Chromium that has never been used before. */
export interface Browser extends AsyncDisposable {
  readonly context: BrowserContext
}

export async function startBrowser(): Promise<Browser> {
  const folder = mkdtempSync(join(tmpdir(), 'browser-'))
  const remove = () => rmSync(folder, {recursive: true, force: true})
  try {
    const context = await launched(folder, await unpacked(folder))
    return {
      context,
      async [Symbol.asyncDispose]() {
        await context.close()
        remove()
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}

/**
 * Starts the browser. A process that another thread forks while the file is written holds it open until it runs its own
 * program, and the system runs no file that is open for writing: ETXTBSY passes by itself.
 */
async function launched(folder: string, executablePath: string): Promise<BrowserContext> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await chromium.launchPersistentContext(join(folder, 'profile'), {
        executablePath,
        // Root may not have a sandbox, and /dev/shm may be small in a container.
        args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
        chromiumSandbox: false,
      })
    } catch (error) {
      if (attempt === 20 || !/ETXTBSY/.test(String(error))) throw error
      await pause(100)
    }
  }
}

/** The browser's file, unpacked into a folder of its own: the one that all share may be half written by another process. */
async function unpacked(folder: string): Promise<string> {
  const {TMPDIR} = process.env
  process.env.TMPDIR = folder
  try {
    sparticuz.setGraphicsMode = false
    return await sparticuz.executablePath()
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  }
}
