import {execFile} from 'node:child_process'
import {cpSync, mkdirSync, realpathSync, rmSync, statSync, writeFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import {dirname, extname, join} from 'node:path'
import {promisify} from 'node:util'
import {type BuildOptions, build, type Plugin} from 'esbuild'
import {startPeers} from './peers.ts'
import {installedPackages, places} from './plugins.ts'

// `npm run gcp-build`, which the buildpack runs before it prunes devDependencies: writes the build to dist/, which src/main.js
// then loads. `grpc-functions build` does the same for a project that has grpc-functions as a dependency.

/** Packages that no bundle contains: they are loaded from node_modules when the code requires them. */
const installed = {
  '@google-cloud/functions-framework': 'its registry is a module-level map, which the framework has loaded already',
  '@node-rs/crc32': 'native code',
  '@grpc/proto-loader': 'grpc-js loads it for channelz and ORCA alone, which we do not turn on',
  'pino-pretty': 'a tool of development, which is not deployed',
} as const satisfies Record<string, string>

/** Packages that get a bundle each, because most instances never need them. */
const apart = [
  '@opentelemetry/api',
  'google-auth-library',
  '@google-cloud/storage',
  '@bufbuild/protovalidate',
  '@modelcontextprotocol/server',
  'ws',
  'yaml',
] as const

/** Timeout for the requests that warm up one function, in ms. */
const patience = 60_000

/** What is built, and by which Node. */
export interface BundleOptions {
  /** The folder of the project. Default: this repository. */
  readonly root?: string
  /** The deployed entry point, from `root`. Default: this repository's. */
  readonly entry?: string
  /** Packages that stay in node_modules, beside those with native code. */
  readonly external?: readonly string[]
  /** The path of the Node that will run the functions. */
  readonly node: string
}

/** The result of a build. */
export interface Bundled {
  /** Size of the bundle of all functions, in bytes. */
  readonly size: number
  /** The functions with a compile cache. */
  readonly cached: readonly string[]
  /** Why the other functions have none: a line each. */
  readonly problems: readonly string[]
}

const ownEntry = 'src/deployed.ts'

/**
 * Builds dist/: all functions in one script, each package of `apart` in another one, and a compile cache for each function,
 * which holds what V8 has compiled by its first responses.
 * @throws when esbuild finds an error, which it has printed
 */
export async function bundle({
  root: given = join(import.meta.dirname, '../..'),
  entry = ownEntry,
  external = [],
  node,
}: BundleOptions): Promise<Bundled> {
  const root = realpathSync(given)
  const dist = join(root, 'dist')
  const folder = join(dist, 'functions')
  rmSync(folder, {recursive: true, force: true})
  mkdirSync(folder, {recursive: true})
  const options: BuildOptions = {
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node24',
    // A script that is one function, with the names that deployed.js calls it with.
    format: 'cjs',
    banner: {js: '(function (exports, require, module, __filename, __dirname, __metaOf) {'},
    footer: {js: '})'},
    // They become calls of `require`, and what they load stays in the bundle, unevaluated until then.
    supported: {'dynamic-import': false},
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    charset: 'ascii',
    sourcemap: 'external',
    sourcesContent: false,
    // The project's own is not deployed.
    tsconfigRaw: {},
    logLevel: 'warning',
  }
  const library = libraryOf(root)
  const fileOf = (name: string) => join(folder, `${name}.cjs`)
  const bundles = Object.fromEntries(apart.map((name) => [name, name.replaceAll('/', '-').replace('@', '')]))
  const outside: Record<string, string> = {}
  const plugins = (self?: string): Plugin[] => [
    places(root),
    installedPackages({
      root,
      library,
      installed: [...Object.keys(installed), ...external],
      apart: apart.filter((name) => name !== self),
      outside,
    }),
  ]
  await Promise.all([
    build({...options, entryPoints: [join(root, entry)], outfile: fileOf('functions'), plugins: plugins()}),
    ...apart.map((name) =>
      build({
        ...options,
        stdin: {contents: `module.exports = require(${JSON.stringify(name)})`, resolveDir: library},
        outfile: fileOf(bundles[name]!),
        plugins: plugins(name),
      }),
    ),
  ])
  writeFileSync(join(folder, 'packages.json'), JSON.stringify({bundles, outside}))
  cpSync(join(import.meta.dirname, 'deployed.js'), join(dist, 'deployed.js'))
  // The project's own package.json may say CommonJS.
  writeFileSync(join(dist, 'package.json'), '{"type":"module"}')
  // A POST to somebody else's function may have effects.
  const warmUpKind = entry === ownEntry ? 'all' : 'reads'
  return {size: statSync(fileOf('functions')).size, ...(await warmUp(root, node, warmUpKind))}
}

/** The folder of the library: the package grpc-functions where the project has it as a dependency, else the project itself. */
function libraryOf(root: string): string {
  try {
    return dirname(realpathSync(createRequire(join(root, 'package.json')).resolve('grpc-functions/package.json')))
  } catch {
    return root
  }
}

/** Writes the compile cache of each function, made from the code that its first requests run. */
async function warmUp(root: string, node: string, kind: string): Promise<Pick<Bundled, 'cached' | 'problems'>> {
  const peers = await startPeers()
  const cached: string[] = []
  const problems: string[] = []
  const start = (name: string) => {
    // This file is TypeScript here, and JavaScript in the package.
    const script = join(import.meta.dirname, `warm-up${extname(import.meta.filename)}`)
    const args = [script, root, name, kind]
    const env = {PATH: process.env.PATH, ...peers.env, FUNCTION_TARGET: name}
    return promisify(execFile)(node, args, {cwd: root, env, timeout: patience})
  }
  try {
    for (const name of await namesOf(start)) {
      try {
        await start(name)
        cached.push(name)
      } catch (error) {
        problems.push(`No compile cache for ${name}: ${said(error)}`)
      }
    }
  } catch (error) {
    problems.push(`No compile caches: ${said(error)}`)
  } finally {
    await peers.close()
  }
  return {cached, problems}
}

/** The names of the functions, from the error message for an unknown name. */
async function namesOf(start: (name: string) => Promise<unknown>): Promise<string[]> {
  try {
    await start('?')
  } catch (error) {
    const [, names] = /^FUNCTION_TARGET="\?": expected one of (.*)$/m.exec(said(error)) ?? []
    if (names) return names.split(', ')
    throw error
  }
  return []
}

/** The line in which a process reported why it ended. */
function said(error: unknown): string {
  const {stderr, message} = error as Error & {readonly stderr?: string}
  const lines = stderr?.trim().split('\n') ?? []
  return lines.find((line) => /^\w*Error\b|expected/.test(line)) ?? (lines[0] || message)
}

/** The result of a build for the terminal. */
export function reportOf({size, cached, problems}: Bundled): string {
  const caches = `compile caches for ${cached.join(', ') || 'none'}`
  return [`dist/: all functions in ${(size / 1e6).toFixed(1)} MB, ${caches}`, ...problems].join('\n')
}

/** The Node that runs npm: on the platform it is the one that will run the functions. The PATH of npm's scripts may have another one. */
export function nodeOfNpm(): string {
  return process.env.npm_node_execpath ?? process.execPath
}

if (import.meta.main) {
  console.log(reportOf(await bundle({node: nodeOfNpm()})))
  console.log('src/main.js starts this build from now on; without dist/ it starts the source')
}
