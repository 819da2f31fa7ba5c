import {once} from 'node:events'
import {join, relative, sep} from 'node:path'
import {watch} from 'chokidar'

/** Debounce time of file changes, in ms: an editor writes several files, or one in several steps. */
const quiet = 80

/** Temporary files of editors, and files that are never loaded. */
const unimportant = /(^|[/\\])(\.|node_modules([/\\]|$))|~$|\.(swp|swx|tmp|log|md)$|(^|[/\\])4913$/

/** The changes of a project's files. */
export interface Changes extends AsyncDisposable {
  /** Resolves when files have changed since the last call, with their paths relative to the project's folder. */
  next(): Promise<readonly string[]>
}

/**
 * Watches folders of the project `root`, which need not exist yet. Resolves when every further change will be seen.
 * @param generated folders of generated files, whose changes are ignored
 */
export async function watchFolders(
  root: string,
  folders: readonly string[],
  generated: readonly string[],
): Promise<Changes> {
  const ignored = generated.map((folder) => join(root, folder))
  const watcher = watch(
    folders.map((folder) => join(root, folder)),
    {
      alwaysStat: true,
      ignored: (path) =>
        unimportant.test(relative(root, path)) ||
        ignored.some((folder) => path === folder || path.startsWith(folder + sep)),
    },
  )
  const changed = new Set<string>()
  const versions = new Map<string, string>()
  let isReady = false
  let due = false
  let wake = () => {}
  let timer: NodeJS.Timeout | undefined
  watcher.on('all', (event, path, stats) => {
    if (event === 'addDir' || event === 'unlinkDir') return
    const version = stats && `${stats.ino} ${stats.mtimeMs} ${stats.size}`
    // npx makes the command executable, which is a change too, and git and editors do the like.
    const isSame = version !== undefined && versions.get(path) === version
    if (version === undefined) versions.delete(path)
    else versions.set(path, version)
    if (isSame || !isReady) return
    changed.add(relative(root, path).split(sep).join('/'))
    clearTimeout(timer)
    timer = setTimeout(() => {
      due = true
      wake()
    }, quiet)
  })
  await once(watcher, 'ready')
  isReady = true
  return {
    async next() {
      await new Promise<void>((resolve) => {
        wake = resolve
        if (due) resolve()
      })
      due = false
      const paths = [...changed].sort()
      changed.clear()
      return paths
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer)
      await watcher.close()
    },
  }
}
