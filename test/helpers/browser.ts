import {existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {setTimeout as pause} from 'node:timers/promises'
import sparticuz from '@sparticuz/chromium'
import {type BrowserContext, chromium} from 'playwright-core'

const modules = join(import.meta.dirname, '../../node_modules')

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
    const context = await launched(folder, await unpacked())
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

/**
 * The browser's file, unpacked into a folder below node_modules/ that later tests use too: it takes seconds. It is moved there when it
 * is complete, because another process may do the same.
 */
async function unpacked(): Promise<string> {
  const {version} = JSON.parse(readFileSync(join(modules, '@sparticuz/chromium/package.json'), 'utf8')) as {
    version: string
  }
  const shared = join(modules, '.cache/chromium', version)
  if (!existsSync(shared)) {
    mkdirSync(dirname(shared), {recursive: true})
    const folder = mkdtempSync(`${shared}-`)
    try {
      await unpackInto(folder)
      renameSync(folder, shared)
    } catch (error) {
      rmSync(folder, {recursive: true})
      if (!existsSync(shared)) throw error
    }
  }
  return join(shared, 'chromium')
}

async function unpackInto(folder: string): Promise<void> {
  const {TMPDIR} = process.env
  process.env.TMPDIR = folder
  try {
    sparticuz.setGraphicsMode = false
    await sparticuz.executablePath()
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = TMPDIR
  }
}
