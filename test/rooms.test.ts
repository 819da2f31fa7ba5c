import {readdirSync, readFileSync} from 'node:fs'
import {dirname, join, relative, resolve} from 'node:path'
import test from 'ava'

const root = join(import.meta.dirname, '..')

/** Who may import whom, as ARCHITECTURE.md has it: a room is a folder of src/, or a file of it. */
const rooms: Record<string, readonly string[]> = {
  functions: ['functions', 'gateway', 'upload', 'http', 'transcoding', 'clients', 'core', 'gen'],
  gateway: ['gateway', 'http', 'transcoding', 'clients', 'core', 'gen'],
  upload: ['upload', 'http', 'transcoding', 'clients', 'core', 'gen'],
  framework: ['framework', 'http', 'core'],
  http: ['http', 'auth', 'core'],
  auth: ['auth', 'core'],
  clients: ['clients', 'core', 'gen'],
  transcoding: ['transcoding', 'core', 'gen'],
  core: ['core', 'gen'],
}

function sourcesIn(folder: string): string[] {
  return readdirSync(join(root, folder), {recursive: true, encoding: 'utf8'})
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts') && !path.startsWith('gen/'))
    .map((path) => join(root, folder, path))
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const own = [...text.matchAll(/(?:from|import|require)\s*\(?\s*'(\.[^']+)'/g)].map(([, path]) =>
    resolve(dirname(file), path ?? ''),
  )
  return own.map((path) => relative(root, path))
}

/** An example in a comment reads nothing. */
const withoutComments = (text: string) => text.replace(/\/\*\*[\s\S]*?\*\//g, '')

/** `src/http/scope.ts` is in http. */
const roomOf = (path: string) => path.split('/')[1]?.replace(/\.ts$/, '') ?? ''

for (const [room, allowed] of Object.entries(rooms)) {
  test(`src/${room} imports nothing that it may not`, (t) => {
    const files = sourcesIn('src').filter((file) => roomOf(relative(root, file)) === room)
    const astray = files.flatMap((file) =>
      importsOf(file)
        .filter((path) => !path.startsWith('src/') || !allowed.includes(roomOf(path)))
        .map((path) => `${relative(root, file)} imports ${path}`),
    )
    t.deepEqual(astray, [])
  })
}

test('functions do not import each other, app excepted', (t) => {
  const astray = sourcesIn('src/functions')
    .filter((file) => !file.endsWith('/app.ts'))
    .filter((file) => importsOf(file).some((path) => path.startsWith('src/functions/')))
  t.deepEqual(astray, [])
})

test('nothing but the deployed entry point reads the environment', (t) => {
  const readers = sourcesIn('src').filter((file) => /process\.env/.test(withoutComments(readFileSync(file, 'utf8'))))
  t.deepEqual(
    readers.map((file) => relative(root, file)),
    ['src/deployed.ts'],
  )
})

test('src never imports local, test or bench, and local nothing of src but what is generated', (t) => {
  const astray = sourcesIn('local').flatMap((file) =>
    importsOf(file).filter((path) => path.startsWith('src/') && !path.startsWith('src/gen/')),
  )
  t.deepEqual(astray, [])
})

test('nothing imports samples, so that they can be deleted', (t) => {
  const files = ['src', 'local', 'test', 'bench', 'scripts'].flatMap(sourcesIn)
  const astray = files.filter((file) => importsOf(file).some((path) => path.startsWith('samples/')))
  t.deepEqual(
    astray.map((file) => relative(root, file)),
    [],
  )
})
