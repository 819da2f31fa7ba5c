/** `npm run build [FOLDER]`: builds the published packages, each in a folder of dist/ that has only the files that its users need. */
import {execFileSync} from 'node:child_process'
import {cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {builtinModules} from 'node:module'
import {tmpdir} from 'node:os'
import {dirname, join, relative, resolve} from 'node:path'

const root = join(import.meta.dirname, '..')
const out = resolve(process.argv[2] ?? join(root, 'dist'))

/** One package: its sources, and additional files. */
interface Package {
  /** The folder that lib/ mirrors. */
  readonly sources: string
  /** The entry files in `sources`, which are compiled with all that they import. */
  readonly entries: readonly string[]
  /** Files and folders to copy: source, and destination in the package. */
  readonly copied?: Readonly<Record<string, string>>
}

const packages: Readonly<Record<string, Package>> = {
  'grpc-functions': {
    sources: 'src',
    entries: [
      'index.ts',
      'clients/index.ts',
      'gateway/gateway.ts',
      'upload/upload.ts',
      'events/index.ts',
      'functions/health.ts',
      'transcoding/index.ts',
      'start.ts',
    ],
    copied: {
      'packages/grpc-functions/bin.js': 'bin.js',
      'src/node-version.js': 'lib/node-version.js',
      'src/console/page': 'lib/console/page',
    },
  },
  'grpc-functions-dev': {
    sources: '.',
    // Scripts that are started as processes are imported by no file.
    entries: [
      'local/index.ts',
      'local/cli/main.ts',
      'local/cli/inspect-main.ts',
      'local/dev/services-main.ts',
      'local/dev/project-services.ts',
      'local/announce-loopback.ts',
      'local/announce-port.ts',
      'tools/bundle/warm-up.ts',
    ],
    copied: {
      'packages/grpc-functions-dev/bin.js': 'bin.js',
      'src/node-version.js': 'node-version.js',
      'tools/bundle/deployed.js': 'lib/tools/bundle/deployed.js',
      'proto/google': 'lib/proto/google',
      'proto/grpc_functions': 'lib/proto/grpc_functions',
      'packages/grpc-functions-dev/proto/google': 'lib/proto/google',
      'packages/create-grpc-functions/template': 'lib/packages/create-grpc-functions/template',
    },
  },
  'create-grpc-functions': {
    sources: 'packages/create-grpc-functions/src',
    entries: ['main.ts'],
    copied: {
      'packages/create-grpc-functions/bin.js': 'bin.js',
      'src/node-version.js': 'node-version.js',
      'packages/create-grpc-functions/template': 'template',
    },
  },
}

type Dependencies = Record<string, string>
interface Manifest {
  readonly name: string
  readonly version: string
  readonly files: readonly string[]
  readonly exports: Readonly<Record<string, string | {readonly types: string; readonly default: string}>>
  dependencies?: Dependencies
  devDependencies?: Dependencies
  peerDependencies?: Dependencies
}

const own = readJson<Manifest & {license: string; engines: object; repository?: object; keywords: readonly string[]}>(
  join(root, 'package.json'),
)

for (const [name, given] of Object.entries(packages)) build(name, given)

function build(name: string, {sources, entries, copied = {}}: Package): void {
  const folder = join(out, name)
  const lib = join(folder, 'lib')
  rmSync(folder, {recursive: true, force: true})
  step(name, 'compile')
  const base = join(root, sources)
  compile(
    base,
    entries.map((entry) => join(base, entry)),
    lib,
  )
  copyGenerated(base, lib)
  for (const file of filesIn(lib, /\.(js|d\.ts)$/)) writeFileSync(file, withJsImports(readFileSync(file, 'utf8')))
  // The page's tsconfig.json is only for checks in this repository.
  const filter = (path: string) => !path.endsWith('page/tsconfig.json')
  for (const [from, to] of Object.entries(copied)) cpSync(join(root, from), join(folder, to), {recursive: true, filter})
  for (const path of filesIn(folder, /template\/package\.json$/)) writeJson(path, ranged(readJson(path)))
  step(name, 'package.json')
  cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  cpSync(join(root, 'packages', name, 'README.md'), join(folder, 'README.md'))
  const manifest = manifestOf(name)
  writeJson(join(folder, 'package.json'), manifest)
  dropUnusedTypes(folder, manifest)
  checkImports(lib, manifest)
  step(name, `${filesIn(folder).length} files in ${relative(process.cwd(), folder)}`)
}

/** Compiles `entries` and all that they import to JavaScript and declarations, in the same folders as in `base`. */
function compile(base: string, entries: readonly string[], outDir: string): void {
  const workspace = mkdtempSync(join(tmpdir(), 'build-'))
  const config = join(workspace, 'tsconfig.json')
  writeJson(config, {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      incremental: false,
      tsBuildInfoFile: null,
      allowImportingTsExtensions: false,
      rewriteRelativeImportExtensions: true,
      declaration: true,
      rootDir: base,
      outDir,
      typeRoots: [join(root, 'node_modules/@types')],
    },
    include: [],
    files: entries,
  })
  try {
    const args = ['--checkers', '1', '-p', config]
    execFileSync(join(root, 'node_modules/.bin/tsc'), args, {stdio: ['ignore', 'inherit', 'inherit']})
  } finally {
    rmSync(workspace, {recursive: true})
  }
}

/** Copies imported files that are JavaScript already, with their types: src/gen. */
function copyGenerated(base: string, lib: string): void {
  for (const queue = filesIn(lib, /\.(js|d\.ts)$/); queue.length > 0; ) {
    const file = queue.pop()!
    for (const path of importsOf(file).filter((path) => path.endsWith('_pb.js'))) {
      const target = resolve(dirname(file), path)
      if (existsSync(target)) continue
      mkdirSync(dirname(target), {recursive: true})
      for (const [copy, from] of [target, target.replace(/js$/, 'd.ts')].map((to) => [
        to,
        join(base, relative(lib, to)),
      ]))
        cpSync(from!, copy!)
      queue.push(target)
    }
  }
}

/** Removes declarations that cannot be reached from an export of the package. */
function dropUnusedTypes(folder: string, {exports}: Manifest): void {
  const used = new Set<string>()
  const queue = Object.values(exports).flatMap((file) => (typeof file === 'string' ? [] : [join(folder, file.types)]))
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (used.has(file)) continue
    used.add(file)
    const imported = importsOf(file).filter((path) => path.startsWith('.'))
    const declared = imported.map((path) => resolve(dirname(file!), path.replace(/\.js$/, '.d.ts')))
    // A file that is imported only for its side effects may have no types.
    queue.push(...declared.filter(existsSync))
  }
  for (const file of filesIn(folder, /\.d\.ts$/)) if (!used.has(file)) rmSync(file)
}

/** Rewrites `.ts` paths that tsc does not: in `require` calls, and in imports of declarations. */
function withJsImports(text: string): string {
  return text.replace(/((?:from |import\(|\brequire\()['"]\.[^'"]*)\.ts(['"])/g, '$1.js$2')
}

function importsOf(file: string): string[] {
  const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')
  return [...code.matchAll(/(?:\bfrom|\bimport|\bimport\(|\brequire\()\s*['"]([^'"\n]+)['"]/g)].map(([, path]) => path!)
}

/** packages/NAME/package.json, completed with the shared fields and with the version ranges of dependencies. */
function manifestOf(name: string): Manifest {
  const {version, license, repository, engines, keywords} = own
  const {description, ...given} = readJson<Manifest & {description: string}>(
    join(root, 'packages', name, 'package.json'),
  )
  return ranged({
    ...{name, version, description, keywords, license, ...(repository && {repository}), engines},
    ...given,
  })
}

/** Replaces every `*` by a caret range from the version in this repository, which pins exact versions. */
function ranged<M extends Manifest>(manifest: M): M {
  const versions: Dependencies = {...own.dependencies, ...own.devDependencies}
  for (const name of Object.keys(packages)) versions[name] = own.version
  for (const kind of ['dependencies', 'devDependencies', 'peerDependencies'] as const) {
    const needed = manifest[kind]
    if (!needed) continue
    const ranges = Object.keys(needed).map((name) => {
      if (!versions[name]) throw new Error(`${manifest.name} needs ${name}, which package.json here does not have`)
      // The tools of a new project are those that it was tried with.
      const isTool = kind === 'devDependencies' && !Object.hasOwn(packages, name)
      return [name, isTool ? versions[name] : `^${versions[name]}`]
    })
    Object.assign(manifest, {[kind]: Object.fromEntries(ranges)})
  }
  return manifest
}

/** @throws when a file imports a package that is not in `manifest`, and so would be missing for users */
function checkImports(lib: string, {name, dependencies, peerDependencies}: Manifest): void {
  const named = new Set([...Object.keys({...dependencies, ...peerDependencies}), ...builtinModules])
  for (const file of filesIn(lib, /\.(js|d\.ts)$/).filter((file) => !file.includes('/template/'))) {
    for (const path of importsOf(file).filter((path) => !/^(\.|node:)/.test(path))) {
      const needed = path.split('/', path.startsWith('@') ? 2 : 1).join('/')
      if (!named.has(needed))
        throw new Error(`${name}: ${relative(root, file)} imports ${path}: expected it in package.json`)
    }
  }
}

function filesIn(folder: string, pattern = /./): string[] {
  return readdirSync(folder, {recursive: true, withFileTypes: true})
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => pattern.test(path))
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T
}

function writeJson(path: string, value: object): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
}

function step(name: string, what: string): void {
  console.log(`${name.padEnd(22)} ${what}`)
}
