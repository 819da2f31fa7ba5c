import {execFile} from 'node:child_process'
import {cpSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync} from 'node:fs'
import {join, relative, sep} from 'node:path'
import {promisify} from 'node:util'
import {type BuildOptions, build, type Plugin} from 'esbuild'
import {startPeers} from './peers.ts'

// `npm run gcp-build`, which the buildpack runs before it prunes devDependencies: writes to dist/ what src/main.js then loads.

/** Packages that the bundles do not contain: they are loaded from node_modules when they are asked for. */
const installed = {
  '@google-cloud/functions-framework': 'its registry is a module-level map, which the framework has loaded already',
  '@node-rs/crc32': 'native code',
  '@grpc/proto-loader': 'grpc-js loads it for channelz and ORCA alone, which we do not turn on',
  'pino-pretty': 'a tool of development, which is not deployed',
} as const satisfies Record<string, string>

/** Packages that are a bundle of their own, because most instances never need them. */
const apart = ['google-auth-library', '@google-cloud/storage', '@bufbuild/protovalidate', 'ws', 'yaml'] as const

/** How long a function may take to answer the requests that warm it up, in ms. */
const patience = 60_000

/** Where it is built from, and where to. */
export interface BundleOptions {
  /** The project; this one unless given. */
  readonly root?: string
  /** The Node that will run the functions. */
  readonly node: string
}

/** What was built. */
export interface Bundled {
  /** Size of the bundle of all functions, in bytes. */
  readonly size: number
  /** The functions with a compile cache. */
  readonly cached: readonly string[]
  /** Why others have none: a line each. */
  readonly problems: readonly string[]
}

/**
 * Builds dist/: the functions in one file, Google's libraries in one each, and for each function what V8 has compiled of
 * them by its first answer.
 * @throws when esbuild finds an error, which it has printed
 */
export async function bundle({
  root: given = join(import.meta.dirname, '../..'),
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
    plugins: [sources(root)],
  }
  const fileOf = (name: string) => join(folder, `${name}.cjs`)
  const names = Object.fromEntries(apart.map((name) => [name, name.replaceAll('/', '-').replace('@', '')]))
  const external = (self?: string) => [...Object.keys(installed), ...apart].filter((name) => name !== self)
  await Promise.all([
    build({...options, entryPoints: ['src/deployed.ts'], outfile: fileOf('functions'), external: external()}),
    ...apart.map((name) =>
      build({...options, entryPoints: [name], outfile: fileOf(names[name]!), external: external(name)}),
    ),
  ])
  writeFileSync(join(folder, 'packages.json'), JSON.stringify(names))
  cpSync(join(import.meta.dirname, 'deployed.js'), join(dist, 'deployed.js'))
  return {size: statSync(fileOf('functions')).size, ...(await warmUp(root, node))}
}

/** Our own files, as a script can have them. */
function sources(root: string): Plugin {
  return {
    name: 'sources',
    setup({onLoad}) {
      onLoad({filter: /\.[jt]s$/}, ({path}) => {
        if (!path.startsWith(join(root, 'src', sep))) return undefined
        const place = JSON.stringify(relative(root, path))
        const contents = readFileSync(path, 'utf8')
          // esbuild bundles what is required by name, and leaves it unevaluated until then.
          .replace(/^const require = createRequire\(import\.meta\.url\)$/m, '')
          .replace(/\bimport\.meta\.(url|dirname|filename)\b/g, `__metaOf(${place}).$1`)
        return {contents, loader: path.endsWith('.ts') ? 'ts' : 'js'}
      })
    },
  }
}

/** Writes the compile cache of each function, made by what its first requests run. */
async function warmUp(root: string, node: string): Promise<Pick<Bundled, 'cached' | 'problems'>> {
  const peers = await startPeers()
  const cached: string[] = []
  const problems: string[] = []
  const start = (name: string) => {
    const args = [join(import.meta.dirname, 'warm-up.ts'), root, name]
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

/** The names of the functions, which a start with none of them tells. */
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

/** The line in which a process said why it ended. */
function said(error: unknown): string {
  const {stderr, message} = error as Error & {readonly stderr?: string}
  const lines = stderr?.trim().split('\n') ?? []
  return lines.find((line) => /^\w*Error\b|expected/.test(line)) ?? (lines[0] || message)
}

if (import.meta.main) {
  // The Node that runs npm is the platform's own, which will run the functions; the PATH of npm's scripts may have another one.
  const {size, cached, problems} = await bundle({node: process.env.npm_node_execpath ?? process.execPath})
  console.log(
    `dist/: all functions in ${(size / 1e6).toFixed(1)} MB, compile caches for ${cached.join(', ') || 'none'}`,
  )
  for (const problem of problems) console.warn(problem)
  console.log('src/main.js starts this build from now on; without dist/ it starts the source')
}
