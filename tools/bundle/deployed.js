/**
 * What src/main.js loads where there is a build; tools/bundle/bundle.ts copies it to dist/ as it is.
 *
 * The bundles are scripts, not modules, because V8 takes a compile cache of ours (`cachedData`) for scripts only. Node's own
 * compile cache is of no use here: its folder depends on the user that runs Node, and Cloud Run builds and runs as different
 * ones. V8 refuses a cache that another version or other flags have made, and compiles the bundle then.
 */
import {readFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'
import {setFlagsFromString} from 'node:v8'
import {Script} from 'node:vm'

// As src/run.ts has it, and before the first script: V8 compares the flags that a compile cache was made with.
if (process.versions.v8.startsWith('13.6.')) setFlagsFromString('--scavenger-max-new-space-capacity-mb=8')

const folder = join(import.meta.dirname, 'functions')
const root = join(import.meta.dirname, '..')

/** Every script that has been loaded, by its file's name without extension: tools/bundle/warm-up.ts makes their caches. */
export const scripts = new Map()
const modules = new Map()
const requireInstalled = createRequire(import.meta.url)

/** The packages that are a bundle of their own, by their names, with the bundles' names. */
const apart = JSON.parse(readFileSync(join(folder, 'packages.json'), 'utf8'))

/** What the bundles know as `require`. */
function require(name) {
  return Object.hasOwn(apart, name) ? load(apart[name], apart[name]) : requireInstalled(name)
}
require.resolve = requireInstalled.resolve
require.cache = requireInstalled.cache

/** What was `import.meta` in the file at `path` of the project. */
const metaOf = (path) => ({
  url: pathToFileURL(join(root, path)).href,
  filename: join(root, path),
  dirname: join(root, path, '..'),
})

function load(name, cache) {
  const known = modules.get(name)
  if (known) return known.exports
  const filename = join(folder, `${name}.cjs`)
  // The file is all ASCII, which is read fastest as this.
  const script = new Script(readFileSync(filename, 'latin1'), {filename, cachedData: cacheOf(cache)})
  const module = {exports: {}}
  modules.set(name, module)
  scripts.set(cache, script)
  script.runInThisContext()(module.exports, require, module, filename, folder, metaOf)
  return module.exports
}

function cacheOf(name) {
  try {
    return readFileSync(join(folder, `${name}.cache`))
  } catch {
    return undefined
  }
}

/** As the framework finds it: its command line wins. */
function target() {
  const flag = process.argv.find((argument) => argument.startsWith('--target='))
  return flag?.slice('--target='.length) || process.env.FUNCTION_TARGET || 'app'
}

load('functions', target())
