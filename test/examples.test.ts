import {execFileSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import test from 'ava'

const root = join(import.meta.dirname, '..')

/** Every import path of the packages, with its source file. */
const entries: Readonly<Record<string, string>> = {
  ...entriesOf('grpc-functions', 'src'),
  ...entriesOf('grpc-functions-dev', '.'),
}

function entriesOf(name: string, sources: string): Record<string, string> {
  const {exports} = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as {
    exports: Record<string, {readonly default: string} | string>
  }
  const paths = Object.entries(exports).flatMap(([path, file]) => {
    if (typeof file === 'string') return []
    return [[join(name, path), join(sources, file.default.replace(/^\.\/lib\//, '').replace(/js$/, 'ts'))]]
  })
  return Object.fromEntries(paths)
}

/** Names that an example may use without an import, in addition to the packages' exports. */
const given = {
  runtime: `import('${root}/src/index.ts').Runtime`,
  scope: `import('${root}/src/index.ts').Scope`,
  local: `import('${root}/local/index.ts').Local`,
  schema: 'Uint8Array',
  title: 'string',
  PingService: `typeof import('${root}/src/gen/ping/ping_pb.js').PingService`,
  PongSchema: `typeof import('${root}/src/gen/ping/ping_pb.js').PongSchema`,
  Repo: `typeof import('${root}/src/gen/repo_pb.js').Repo`,
  readFileSync: `typeof import('node:fs').readFileSync`,
}

interface Exported {
  readonly name: string
  readonly file: string
}

const exported: Exported[] = []
for (const file of Object.values(entries)) {
  const module = (await import(join(root, file))) as Record<string, unknown>
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === 'function' && !exported.some((other) => other.name === name)) exported.push({name, file})
  }
}

/** The file that declares the export `name` of `file`: the file itself, or the one that it re-exports from. */
function declaringFile({name, file}: Exported): string {
  const text = readFileSync(join(root, file), 'utf8')
  const exports = [...text.matchAll(/^(?:export|import) \{([^}]*)\} from '(\.[^']+)'/gm)]
  const [, , from] = exports.find(([, names = '']) => names.split(',').some((each) => each.trim() === name)) ?? []
  return from ? declaringFile({name, file: join(dirname(file), from)}) : join(root, file)
}

/** The JSDoc of an exported function or class; empty if it has none. */
function docOf(entry: Exported): string {
  const declared = `export (?:async )?(?:function\\*?|class|const) ${entry.name}\\b`
  const text = readFileSync(declaringFile(entry), 'utf8')
  const [, doc] = new RegExp(`/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\\n${declared}`).exec(text) ?? []
  return (doc ?? '').replace(/^ *\* ?/gm, '')
}

/** The examples in it: the lines from `@example` up to the next tag. */
function examplesOf(entry: Exported): string[] {
  const [, ...examples] = docOf(entry).split(/^@example\b/m)
  return examples.map((text) => text.split(/^@\w+/m)[0]!.trim())
}

for (const entry of exported) {
  test(`${entry.name} of ${entry.file} is documented, with an example`, (t) => {
    t.not(docOf(entry).split(/^@/m)[0]!.trim(), '')
    t.not(examplesOf(entry).join(''), '')
  })
}

test('every example compiles', (t) => {
  const cache = join(root, 'node_modules/.cache')
  mkdirSync(cache, {recursive: true})
  // Below node_modules, so that examples can import what a user's project has installed.
  const folder = mkdtempSync(join(cache, 'examples-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  const globals = [
    ...Object.entries(given).map(([name, type]) => `declare const ${name}: ${type}`),
    ...exported.map(({name, file}) => `declare const ${name}: typeof import('${root}/${file}').${name}`),
    `type Handler = import('${root}/src/index.ts').Handler`,
  ]
  writeFileSync(join(folder, 'globals.d.ts'), globals.join('\n'))
  const files = exported.flatMap((entry) =>
    examplesOf(entry).map((text, index) => {
      const path = `${entry.name}-${index + 1}.ts`
      writeFileSync(join(folder, path), `${text}\nexport {}\n`)
      return path
    }),
  )
  t.true(files.length >= exported.length)
  const paths = Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, [join(root, file)]]))
  const compilerOptions = {
    paths,
    incremental: false,
    tsBuildInfoFile: null,
    noUnusedLocals: false,
    noUnusedParameters: false,
    typeRoots: [join(root, 'node_modules/@types')],
  }
  const config = {extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files: ['globals.d.ts', ...files]}
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  t.is(compile(folder), '')
})

/** The errors that tsc reports. */
function compile(folder: string): string {
  try {
    const args = ['--checkers', '1', '-p', folder]
    execFileSync(join(root, 'node_modules/.bin/tsc'), args, {cwd: folder, encoding: 'utf8', stdio: 'pipe'})
    return ''
  } catch (error) {
    return (error as {stdout: string}).stdout
  }
}
