import {existsSync, readdirSync, readFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import {dirname, extname, join, relative} from 'node:path'
import type {ImportKind, Loader, Plugin, PluginBuild, ResolveResult} from 'esbuild'

const loaders: Readonly<Record<string, Loader>> = {ts: 'ts', mts: 'ts', cts: 'ts', tsx: 'tsx', jsx: 'jsx'}

/**
 * Gives each module its own place in the project: a bundle is one script, in another folder. ES modules keep
 * `import.meta.url`, `dirname` and `filename`, CommonJS modules keep `__dirname` and `__filename`. What a module requires by
 * `createRequire` under the name `require` is bundled too, and evaluated at that call.
 */
export function places(root: string): Plugin {
  return {
    name: 'places',
    setup({onLoad}) {
      onLoad({filter: /\.[cm]?[jt]sx?$/}, ({path}) => {
        const text = readFileSync(path, 'utf8')
        const place = JSON.stringify(relative(root, path))
        const contents = text.includes('import.meta') ? placedModule(text, place) : placedScript(text, place)
        return contents === text ? undefined : {contents, loader: loaders[extname(path).slice(1)] ?? 'js'}
      })
    },
  }
}

function placedModule(text: string, place: string): string {
  return text
    .replace(/^const require = createRequire\(import\.meta\.url\);?$/m, '')
    .replace(/\bimport\.meta\.(url|dirname|filename)\b/g, `__metaOf(${place}).$1`)
}

function placedScript(text: string, place: string): string {
  const isModule = /^\s*(import|export)\b/m.test(text)
  const declares = /\b(const|let|var)\s+__(dir|file)name\b/.test(text)
  if (isModule || declares || !/\b__(dir|file)name\b/.test(text)) return text
  const names = `;var {dirname: __dirname, filename: __filename} = __metaOf(${place});`
  const [start = ''] = /^(#!.*\n)?(\s*(["'])use strict\3)?/.exec(text) ?? []
  return start + names + text.slice(start.length)
}

export interface InstalledOptions {
  readonly root: string
  /** The folder of the package grpc-functions. */
  readonly library: string
  /** Packages that stay in node_modules. */
  readonly installed: readonly string[]
  /** Packages with a bundle of their own, in the version that the library uses. */
  readonly apart: readonly string[]
  /** Collects each package that the project's own folder does not resolve, with a file that does, from `root`. */
  readonly outside: Record<string, string>
}

/** Leaves packages out of a bundle: those named, those with a bundle of their own, and those with native code. */
export function installedPackages({root, library, installed, apart, outside}: InstalledOptions): Plugin {
  const own = createRequire(join(root, 'package.json'))
  const native = new Map<string, boolean>()

  /** Notes where the package is found at run time. */
  function leave(path: string, importer: string) {
    if (resolvedBy(own, path) === undefined) {
      const from = importer || join(library, 'package.json')
      if (resolvedBy(createRequire(from), path) !== undefined) outside[path] ??= relative(root, from)
    }
    return {path, external: true}
  }

  return {
    name: 'installed packages',
    setup(build) {
      build.onResolve({filter: /^[^./#]/}, async ({path, importer, resolveDir, kind, pluginData}) => {
        if (pluginData === inner || kind === 'entry-point' || /^(node:|data:)/.test(path)) return undefined
        const name = packageOf(path)
        if (installed.includes(name)) return leave(path, importer)
        if (apart.includes(path)) {
          const [theirs, ours] = await Promise.all([resolveDir, library].map((dir) => resolve(build, path, dir)))
          if (theirs?.path === ours?.path) return {path, external: true}
        }
        const found = await resolve(build, path, resolveDir, kind)
        const folder = found && !found.external ? folderOf(found.path, name) : undefined
        if (folder === undefined) return undefined
        if (!native.has(folder)) native.set(folder, hasNativeCode(folder))
        return native.get(folder) ? leave(path, importer) : undefined
      })
    },
  }
}

const inner = Symbol('resolved by this plugin')

async function resolve(
  build: PluginBuild,
  path: string,
  resolveDir: string,
  kind: ImportKind = 'require-call',
): Promise<ResolveResult | undefined> {
  const result = await build.resolve(path, {resolveDir, kind, pluginData: inner})
  return result.errors.length > 0 ? undefined : result
}

function resolvedBy(require: NodeJS.Require, path: string): string | undefined {
  try {
    return require.resolve(path)
  } catch {
    return undefined
  }
}

/** `@scope/name` or `name` of `@scope/name/sub/path`. */
function packageOf(path: string): string {
  return path.split('/', path.startsWith('@') ? 2 : 1).join('/')
}

/** The folder of the package `name` that `file` is in; undefined for a file of no package of that name. */
function folderOf(file: string, name: string): string | undefined {
  for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
    if (folder.endsWith(join('node_modules', name)) && existsSync(join(folder, 'package.json'))) return folder
  }
  return undefined
}

/** Whether a package loads a `.node` file, which no bundle can contain. */
function hasNativeCode(folder: string): boolean {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>
  if (['gypfile', 'binary', 'napi'].some((key) => manifest[key])) return true
  return readdirSync(folder).some((name) => /^(binding\.gyp|prebuilds)$|\.node$/.test(name))
}
