import {readdirSync, readFileSync} from 'node:fs'
import {dirname, join, relative, resolve} from 'node:path'
import test from 'ava'

const root = join(import.meta.dirname, '..')

/** What the files of a room may import. */
interface Room {
  /** Other rooms. */
  readonly rooms: readonly string[]
  /** Modules of Node, without `node:`. */
  readonly node: readonly string[]
  readonly packages: readonly string[]
}

/** The table of allowed imports in ARCHITECTURE.md. A room is a folder of src/. */
const rooms: Readonly<Record<string, Room>> = {
  functions: {
    rooms: ['gateway', 'upload', 'http', 'transcoding', 'clients', 'core', 'gen'],
    node: ['module', 'path'],
    packages: [],
  },
  gateway: {
    rooms: ['console', 'http', 'transcoding', 'clients', 'core', 'gen'],
    node: ['crypto', 'fs', 'http', 'module'],
    packages: [
      '@bufbuild/protobuf',
      '@bufbuild/protovalidate',
      '@grpc/grpc-js',
      '@modelcontextprotocol/server',
      'yaml',
    ],
  },
  events: {
    rooms: ['http', 'transcoding', 'core', 'gen'],
    node: [],
    packages: ['@bufbuild/protobuf'],
  },
  console: {
    rooms: ['http', 'transcoding', 'core'],
    node: ['fs', 'path'],
    packages: ['@bufbuild/protobuf'],
  },
  upload: {
    rooms: ['events', 'http', 'transcoding', 'clients', 'core', 'gen'],
    node: ['crypto', 'stream'],
    packages: ['@bufbuild/protobuf'],
  },
  framework: {
    rooms: ['http', 'core'],
    node: ['crypto', 'diagnostics_channel', 'domain', 'http', 'net', 'stream', 'util'],
    packages: ['@google-cloud/functions-framework'],
  },
  http: {
    rooms: ['auth', 'core'],
    node: ['async_hooks', 'crypto', 'http', 'module', 'net', 'stream', 'util', 'zlib'],
    packages: ['@bufbuild/protobuf', '@fastify/busboy', 'negotiator', 'ws'],
  },
  auth: {
    rooms: ['core'],
    node: ['crypto', 'fs', 'http', 'https'],
    packages: ['jose'],
  },
  transcoding: {
    rooms: ['core', 'gen'],
    node: [],
    packages: ['@bufbuild/protobuf'],
  },
  clients: {
    rooms: ['core', 'gen'],
    node: ['http', 'http2', 'https', 'net', 'stream', 'tls'],
    packages: ['@bufbuild/protobuf', '@google-cloud/storage', '@grpc/grpc-js', '@node-rs/crc32', 'google-auth-library'],
  },
  core: {
    rooms: ['gen'],
    node: ['async_hooks', 'crypto', 'diagnostics_channel', 'fs', 'module', 'net', 'path', 'timers'],
    packages: ['@bufbuild/protobuf', '@opentelemetry/api', 'leven', 'pino', 'pino-pretty'],
  },
}

function sourcesIn(folder: string): string[] {
  return readdirSync(join(root, folder), {recursive: true, encoding: 'utf8'})
    .filter((path) => /\.[jt]s$/.test(path) && !path.endsWith('.d.ts') && !/^(gen|src\/gen)\//.test(path))
    .map((path) => join(folder, path))
}

/** Without comments: an example in a comment is not an import. */
function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')
}

/** Import statements, import expressions, and createRequire(). */
const importForms = [
  /^(?:import|export)\s[^;'"`=(]*?\bfrom '([^']+)'/gm,
  /^import '([^']+)'/gm,
  /\b(?:import|require|createRequire\(import\.meta\.url\))\(\s*'([^']+)'/g,
]

/** Imports of a file: paths from the root for files of this repository, `node:…` for modules of Node, or a package's name. */
function importsOf(file: string): string[] {
  const text = textOf(file)
  const specifiers = importForms.flatMap((form) => [...text.matchAll(form)])
  return specifiers.map(([, specifier = '']) => {
    if (specifier.startsWith('.')) return relative(root, resolve(root, dirname(file), specifier))
    const [first = '', second] = specifier.split('/')
    return first.startsWith('@') ? `${first}/${second}` : first
  })
}

/** `src/http/scope.ts` is in http. */
const roomOf = (path: string) => path.split('/')[1] ?? ''

const sources = sourcesIn('src')

test('every folder of src is a room', (t) => {
  const folders = readdirSync(join(root, 'src'), {withFileTypes: true}).filter((entry) => entry.isDirectory())
  t.deepEqual(folders.map(({name}) => name).sort(), [...Object.keys(rooms), 'gen'].sort())
})

for (const [room, allowed] of Object.entries(rooms)) {
  const mayImport = (path: string) => {
    if (path.startsWith('src/')) return [room, ...allowed.rooms].includes(roomOf(path))
    if (path.startsWith('node:')) return allowed.node.includes(path.slice('node:'.length))
    return allowed.packages.includes(path)
  }
  const files = sources.filter((file) => roomOf(file) === room)

  test(`src/${room} imports only what it may`, (t) => {
    const astray = files.flatMap((file) =>
      importsOf(file)
        .filter((path) => !mayImport(path))
        .map((path) => `${file} imports ${path}`),
    )
    t.deepEqual(astray, [])
  })

  test(`src/${room} uses all its permissions`, (t) => {
    const taken = new Set(files.flatMap(importsOf).map((path) => (path.startsWith('src/') ? roomOf(path) : path)))
    const outside = [...allowed.node.map((name) => `node:${name}`), ...allowed.packages]
    t.deepEqual(
      outside.filter((name) => !taken.has(name)),
      [],
    )
  })
}

test('src imports nothing of the repository except src', (t) => {
  const astray = sources.flatMap((file) =>
    importsOf(file)
      .filter((path) => /^(local|packages|samples|test|bench|scripts|tools)\//.test(path))
      .map((path) => `${file} imports ${path}`),
  )
  t.deepEqual(astray, [])
})

/** Files that import each other, also by types: strongly connected components of more than one file. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>()
  const lowest = new Map<string, number>()
  const open: string[] = []
  const found: string[][] = []
  const visit = (file: string) => {
    order.set(file, order.size)
    lowest.set(file, order.get(file)!)
    open.push(file)
    for (const next of graph.get(file) ?? []) {
      if (!order.has(next)) visit(next)
      if (open.includes(next)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(next)!))
    }
    if (lowest.get(file) !== order.get(file)) return
    const component = open.splice(open.indexOf(file))
    if (component.length > 1) found.push(component.sort())
  }
  for (const file of graph.keys()) if (!order.has(file)) visit(file)
  return found
}

test('no files import each other in a cycle, not even for types', (t) => {
  t.deepEqual(cycles(new Map(sources.map((file) => [file, importsOf(file)]))), [])
})

test('no rooms import each other in a cycle', (t) => {
  t.deepEqual(cycles(new Map(Object.entries(rooms).map(([name, room]) => [name, room.rooms]))), [])
})

test('ARCHITECTURE.md has the same table', (t) => {
  const lines = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('\n')
  const rows = lines.filter((line) => /^\|/.test(line)).map((line) => line.slice(1, -1).split('|'))
  const listed = (cell = '') =>
    cell
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean)
  const told = rows.flatMap(([names, others, node, packages]) =>
    listed(names)
      .filter((name) => name in rooms)
      .map((name) => [name, {rooms: listed(others), node: listed(node), packages: listed(packages)}] as const),
  )
  t.deepEqual(Object.fromEntries(told), rooms)
})

test('functions do not import each other, except for app', (t) => {
  const astray = sources
    .filter((file) => roomOf(file) === 'functions' && !file.endsWith('/app.ts'))
    .filter((file) => importsOf(file).some((path) => path.startsWith('src/functions/')))
  t.deepEqual(astray, [])
})

test('only the deployed entry point reads the environment', (t) => {
  t.deepEqual(
    sources.filter((file) => /process\.env/.test(textOf(file))),
    ['src/deployed.ts'],
  )
})

test('local imports only generated code of src, except for its command line', (t) => {
  const files = sourcesIn('local').filter((file) => !file.startsWith('local/cli/'))
  const astray = files.flatMap((file) =>
    importsOf(file).filter((path) => path.startsWith('src/') && !path.startsWith('src/gen/')),
  )
  t.deepEqual(astray, [])
})

test('nothing imports samples, so that they can be deleted', (t) => {
  const files = ['src', 'local', 'test', 'bench', 'scripts'].flatMap(sourcesIn)
  const astray = files.filter((file) => importsOf(file).some((path) => path.startsWith('samples/')))
  t.deepEqual(astray, [])
})
