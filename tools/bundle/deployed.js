/**
 * Starts a build: src/main.js loads this file where there is one. tools/bundle/bundle.ts copies it to dist/ as it is.
 *
 * The bundles are scripts, not modules, because Node takes a compile cache (`cachedData`) for scripts only. Node's own
 * compile cache does not help here: its folder depends on the user that runs Node, and Cloud Run builds and runs as different
 * users. V8 refuses a cache made by another version or with other flags, and compiles the bundle then.
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

/** Every loaded script, by the name of its cache file: tools/bundle/warm-up.ts writes the caches. */
export const scripts = new Map()
const modules = new Map()
const requireInstalled = createRequire(import.meta.url)

/** The packages that have a bundle of their own, and where those are that the project itself does not find. */
const {bundles, outside} = JSON.parse(readFileSync(join(folder, 'packages.json'), 'utf8'))

/** The `require` of the bundles. */
function require(name) {
  if (Object.hasOwn(bundles, name)) return load(bundles[name], bundles[name])
  return (Object.hasOwn(outside, name) ? createRequire(join(root, outside[name])) : requireInstalled)(name)
}
require.resolve = requireInstalled.resolve
require.cache = requireInstalled.cache

/** The `import.meta` of the file at `path` of the project. */
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

/** The function's name, found as the framework finds it: the command line wins over the environment. */
function target() {
  const flag = process.argv.find((argument) => argument.startsWith('--target='))
  return flag?.slice('--target='.length) || process.env.FUNCTION_TARGET || 'app'
}

load('functions', target())
