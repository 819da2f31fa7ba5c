import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {setTimeout as pause} from 'node:timers/promises'
import sparticuz from '@sparticuz/chromium'
import {type BrowserContext, chromium} from 'playwright-core'

/** Whether this machine can have a Chromium: @sparticuz/chromium installs one from npm, only for Linux on x64. */
export const hasBrowser = process.platform === 'linux' && process.arch === 'x64'

/** A real Chromium with a new profile. */
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
 * Starts the browser. If another thread forks a process while the file is written, that process has the file open until it runs
 * its own program. The kernel does not run a file that is open for writing (ETXTBSY), so it is tried again.
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

/** Unpacks the browser's file into a new folder: in a shared one, another process may have written only a part of it. */
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
