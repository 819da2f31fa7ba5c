import {spawn} from 'node:child_process'
import {createHash} from 'node:crypto'
import {once} from 'node:events'
import {
  appendFileSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {tmpdir} from 'node:os'
import {delimiter, join} from 'node:path'
import {text} from 'node:stream/consumers'
import test, {type ExecutionContext} from 'ava'
import {publint} from 'publint'
import {startFunctions} from '../../local/functions.ts'
import {startBackend} from '../../local/grpc/backend.ts'
import {startServer} from '../../local/grpc/server.ts'
import {servicesOf} from '../../local/project.ts'
import {linkPackages, send} from '../../tools/deployment.ts'
import {stepsIn} from '../helpers/commands.ts'
import {npmRun} from '../helpers/start.ts'
import {type Registry, startRegistry} from './registry.ts'

const root = join(import.meta.dirname, '../..')
const {version} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {version: string}
const newer = version.replace(/\d+$/, (patch) => String(Number(patch) + 1))
const names = ['grpc-functions', 'grpc-functions-dev', 'create-grpc-functions'] as const

/** The folder of everything: built/ has the packages, packed/ their tarballs, my-api/ the project that is created with them. */
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'packages-')))
const built = join(folder, 'built')
const project = join(folder, 'my-api')
let registry: Registry

test.before('pack the packages, create a project and install it', async (t) => {
  t.timeout(5 * 60_000)
  mkdirSync(join(folder, 'bin'))
  symlinkSync(process.execPath, join(folder, 'bin/node'))
  registry = await startRegistry(join(folder, 'cache'))
  await run(root, process.execPath, 'scripts/build.ts', built)
  await publish(names)
  await run(folder, 'npm', 'create', 'grpc-functions', 'my-api')
  await run(project, 'npm', 'install')
})

test.after.always(async () => {
  await registry?.close()
  rmSync(folder, {recursive: true})
})

for (const name of names) {
  test(`${name} contains what its users need`, (t) => {
    const expected: Record<(typeof names)[number], RegExp> = {
      'grpc-functions': /^(bin\.js|lib\/[\w/-]+\.(js|d\.ts)|lib\/console\/page\/\w+\.(html|css|svg))$/,
      'grpc-functions-dev':
        /^(bin\.js|node-version\.js|lib\/((local|src|packages|tools\/bundle)\/[\w/-]+\.(js|d\.ts)|proto\/(google|grpc_functions)\/[\w/]+\.proto|packages\/create-grpc-functions\/template\/.+))$/,
      'create-grpc-functions': /^(bin\.js|node-version\.js|lib\/\w+\.js|template\/.+)$/,
    }
    const files = filesIn(join(built, name)).filter((path) => !['LICENSE', 'README.md', 'package.json'].includes(path))
    t.deepEqual(
      files.filter((path) => !expected[name].test(path)),
      [],
    )
    // The samples' services must not be in a package.
    t.deepEqual(
      files.filter((path) => /person|chat|users|routeguide/i.test(path)),
      [],
    )
    t.is(filesIn(join(built, name)).length - files.length, 3)
  })

  test(`publint finds nothing in ${name}`, async (t) => {
    const bytes = readFileSync(join(folder, 'packed', `${name}-${version}.tgz`))
    const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
    const {messages} = await publint({pack: {tarball}, strict: true})
    t.deepEqual(messages, [])
  })
}

for (const name of ['grpc-functions', 'grpc-functions-dev'] as const) {
  test(`the types of ${name} are right for every kind of import`, async (t) => {
    const attw = join(root, 'node_modules/.bin/attw')
    await t.notThrowsAsync(
      run(root, attw, join(folder, 'packed', `${name}-${version}.tgz`), '--profile', 'esm-only', '--no-color'),
    )
  })
}

test('no import opens or starts anything, or reads the environment', async (t) => {
  const imports = ['grpc-functions', 'grpc-functions-dev'].flatMap((name) => {
    const {exports} = JSON.parse(readFileSync(join(built, name, 'package.json'), 'utf8')) as {exports: object}
    return Object.keys(exports).flatMap((path) => (path.endsWith('.json') ? [] : [join(name, path)]))
  })
  t.is(imports.length, 9)
  const script = join(import.meta.dirname, 'side-effects.js')
  const child = spawn(process.execPath, [script, project, ...imports], {env: {}, stdio: ['ignore', 'pipe', 'inherit']})
  const lines = (await text(child.stdout)).trim().split('\n')
  const found = lines.map((line) => JSON.parse(line) as {name: string; effects: string[]; exported: number})
  t.deepEqual(
    found.map(({name, effects}) => ({name, effects})),
    imports.map((name) => ({name, effects: []})),
  )
  t.true(found.every(({exported}) => exported > 0))
})

test.serial('a new project has the files of its layout, and passes its own test', async (t) => {
  const own = filesIn(project).filter((path) => !path.startsWith('node_modules/') && path !== 'package-lock.json')
  t.deepEqual(own, [
    '.gcloudignore',
    'README.md',
    'local/services.ts',
    'package.json',
    'proto/greeter/v1/greeter.proto',
    'src/clients/greeter.ts',
    'src/functions/greet.ts',
    'src/index.js',
    'test/greet.test.ts',
    'tsconfig.json',
  ])
  await t.notThrowsAsync(run(project, 'npm', 'ci', '--dry-run'))
  await t.notThrowsAsync(run(project, 'npm', 'test'))
})

test.serial('the deployed files of a new project are built, and each function runs from the build alone', async (t) => {
  const deployed = join(folder, 'deployed')
  mkdirSync(deployed)
  send(deployed, project)
  t.deepEqual(readdirSync(deployed).sort(), ['package-lock.json', 'package.json', 'src'])
  symlinkSync(join(project, 'node_modules'), join(deployed, 'node_modules'))
  const output = await run(deployed, 'npm', 'run', 'gcp-build')
  t.regex(output, /^dist\/: all functions in [\d.]+ MB, compile caches for greet, health, gateway, app$/m)
  // As after `npm prune --omit=dev`, and without the sources of the build.
  rmSync(join(deployed, 'node_modules'))
  linkPackages(deployed, project)
  t.false(existsSync(join(deployed, 'node_modules/grpc-functions-dev')))
  for (const made of ['functions', 'clients']) rmSync(join(deployed, 'src', made), {recursive: true})
  const backend = await startServer({services: await servicesOf(project)})
  t.teardown(() => backend.close())
  for (const [target, path, expected] of [
    ['greet', '/?names=Ada', {greetings: ['Hello Ada']}],
    ['gateway', '/v1/greetings/Ada', {message: 'Hello Ada'}],
    ['app', '/greet?names=Ada', {greetings: ['Hello Ada']}],
  ] as const) {
    t.deepEqual(await answerOf(t, {root: deployed, target, path, backend: backend.url, onCloudRun: true}), expected)
  }
})

test.serial(
  "a user's way from an empty folder: an own proto, an own function, a call, the doctor, a build",
  async (t) => {
    const began = performance.now()
    const commands = ['npm create grpc-functions my-api', 'npm install']
    const grpcFunctions = async (...args: string[]) => {
      commands.push(`npx grpc-functions ${args[0]}`)
      return await run(project, 'npx', 'grpc-functions', ...args)
    }
    commands.push('npm start')
    const started = npmRun(t, 'start', {...environment(), PORT: '0'} as Record<string, string>, project)
    const url = (await started.line(/^ready /)).slice('ready '.length)
    const partAt = (name: string) =>
      started.lines.find((line) => line.startsWith(`${name} `))?.split(/\s+/)[1] ?? t.fail(`${name} is printed`)
    const change = async (path: string, change: (text: string) => string) => {
      const file = join(project, path)
      const from = started.lines.length
      writeFileSync(file, change(existsSync(file) ? readFileSync(file, 'utf8') : ''))
      return await started.line(/^(restarted|failed) /, from)
    }
    const answerAt = async (path: string) => {
      const answer = await fetch(url + path, {headers: {connection: 'close'}})
      return [answer.status, (await answer.json()) as {error?: {message: string}}] as const
    }
    t.true(started.lines.includes(`  curl ${url}/v1/greetings/Ada`), 'a request to try')
    t.deepEqual(await answerAt('/v1/greetings/Ada'), [200, {message: 'Hello Ada'}] as never)
    const page = await fetch(url, {headers: {accept: 'text/html', connection: 'close'}})
    t.deepEqual([page.status, page.headers.get('content-type')], [200, 'text/html; charset=utf-8'])
    t.deepEqual(await answerAt('/greet?names=Ada,Alan'), [200, {greetings: ['Hello Ada', 'Hello Alan']}])
    const partOfPage = async (path: string) => {
      const answer = await fetch(url + path, {headers: {accept: 'text/html,*/*', connection: 'close'}})
      return [answer.status, answer.headers.get('content-type')]
    }
    t.deepEqual(await partOfPage('/'), [200, 'text/html; charset=utf-8'])
    t.deepEqual(await partOfPage('/console/page.js'), [200, 'text/javascript; charset=utf-8'])
    t.deepEqual(await partOfPage('/console/local'), [200, 'application/json'])

    const goodbye = `rpc SayGoodbye(SayGoodbyeRequest) returns (SayHelloResponse) {
    option (google.api.http) = {get: "/v1/goodbyes/{name}"};
    option (grpc_functions.auth) = {allow: "hd=example.com"};
  }
  // Greets one person.`
    const request = `
message SayGoodbyeRequest {
  string name = 1 [(google.api.field_behavior) = REQUIRED];
  google.type.Date until = 2;
}
`
    const imports =
      'import "google/api/field_behavior.proto";\nimport "google/type/date.proto";\nimport "grpc_functions/options.proto";\n'
    const withProto = await change(
      'proto/greeter/v1/greeter.proto',
      (text) => text.replace('// Greets one person.', goodbye).replace(/^import .*\n/m, `$&${imports}`) + request,
    )
    t.regex(withProto, /^restarted .* new: GET \/v1\/goodbyes\/\{name\}$/)
    const [status, {error}] = await answerAt('/v1/goodbyes/Ada?until.year=2030')
    t.deepEqual(
      [status, error?.message],
      [501, 'greeter.v1.GreeterService/SayGoodbye is not implemented: add it to local/services.ts'],
    )
    await change('local/services.ts', (text) =>
      text.replace('sayHello:', "sayGoodbye: ({name}) => ({message: 'Goodbye ' + name}),\n    sayHello:"),
    )
    t.deepEqual(await answerAt('/v1/goodbyes/Ada'), [200, {message: 'Goodbye Ada'}])

    const hello = "import {json} from 'grpc-functions'\n\nexport const hello = () => () => json({hello: 'world'})\n"
    await change('src/functions/hello.ts', () => hello)
    const row = "hello: () => require('./functions/hello.ts').hello(),\n  greet: (runtime)"
    await change('src/index.js', (text) => text.replace('greet: (runtime)', row))
    t.deepEqual(await answerAt('/hello'), [200, {hello: 'world'}])
    t.regex(await change('src/functions/hello.ts', () => 'export const'), /^failed .* still answer$/)
    t.deepEqual(await answerAt('/hello'), [200, {hello: 'world'}])
    await change('src/functions/hello.ts', () => hello)

    t.regex(await grpcFunctions('routes'), /^GET +\/v1\/goodbyes\/\{name\} +greeter\.v1\.GreeterService\/SayGoodbye$/m)
    const called = await grpcFunctions(
      'call',
      'greeter.v1.GreeterService/SayGoodbye',
      '-d',
      '{"name": "Ada"}',
      '--url',
      url,
    )
    t.deepEqual(JSON.parse(called), {message: 'Goodbye Ada'})
    const [backend, metadata] = [partAt('backend'), partAt('metadata').replace('http://', '')]
    const token = {GCE_METADATA_HOST: metadata, BACKEND_URL: backend, BACKEND_AUDIENCE: backend}
    commands.push('npx grpc-functions doctor')
    t.notRegex(
      await run(
        project,
        'env',
        ...Object.entries(token).map((pair) => pair.join('=')),
        'npx',
        'grpc-functions',
        'doctor',
      ),
      /WRONG/,
    )

    // When npm ends, everything must end: its output closes when the last process that holds it has ended.
    started.process.kill('SIGKILL')
    await started.exited
    t.regex(await grpcFunctions('build'), /compile caches for hello, greet, health, gateway, app$/m)
    const deployed = {root: project, target: 'hello', path: '/', backend: 'http://localhost:1', onCloudRun: true}
    t.deepEqual(await answerOf(t, deployed), {hello: 'world'})
    t.log(`${commands.length} commands, ${((performance.now() - began) / 1000).toFixed(1)} s: ${commands.join(', ')}`)
  },
)

test.serial('an option of a proto is in the generated code', async (t) => {
  // The option is in the generated code, so it applies even to a caller that has only that.
  const script = `
    import {createClient, createRuntime, readConfig} from 'grpc-functions'
    import {GreeterService} from './src/gen/greeter/v1/greeter_pb.js'
    import {doorOf} from './node_modules/grpc-functions/lib/auth/door.js'
    const runtime = createRuntime(readConfig({BACKEND_URL: 'http://localhost:1', AUTH: 'iam'}))
    createClient(runtime, GreeterService)
    for (const name of ['SayHello', 'SayGoodbye']) {
      try {
        doorOf(runtime).checkCall(undefined, 'greeter.v1.GreeterService/' + name)
        console.log(name)
      } catch (error) {
        console.log(error.hint)
      }
    }`
  t.is(
    (await run(project, 'node', '--input-type=module', '-e', script)).trim(),
    'SayHello\n(grpc_functions.auth) of greeter.v1.GreeterService/SayGoodbye asks for callers that AUTH="iam" does not verify: expected AUTH="jwt"',
  )
})

test.serial('npm update installs a newer version, and changes no file of the project', async (t) => {
  const before = hashes(project)
  for (const name of names) {
    const path = join(built, name, 'package.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace(`"version": "${version}"`, `"version": "${newer}"`))
  }
  appendFileSync(join(built, 'grpc-functions/lib/index.js'), '\nexport const newer = true\n')
  await publish(names)
  await run(project, 'npm', 'update')
  t.deepEqual(hashes(project), before)
  const script = "console.log((await import('grpc-functions')).newer)"
  t.is((await run(project, 'node', '--input-type=module', '-e', script)).trim(), 'true')
  t.is(
    (await run(project, 'npm', 'ls', '--parseable', '--long', 'grpc-functions-dev')).trim().split(':')[1],
    `grpc-functions-dev@${newer}`,
  )
})

test('the commands of docs/new-project.md that work today create a project that passes its test', async (t) => {
  const commands = stepsIn('docs/new-project.md').flatMap((step) => (step.kind === 'command' ? [step.text] : []))
  t.is(commands[0], 'npm run build')
  t.is(commands.at(-1), 'npm start')
  // Built already, into another folder than that of this clone.
  const clone = join(folder, 'today/clone')
  mkdirSync(clone, {recursive: true})
  cpSync(built, join(clone, 'dist'), {recursive: true})
  const [create = '', install = '', ...others] = commands.slice(2, -1)
  t.regex(install, /^cd \S+ && npm install /)
  t.deepEqual(others, [])
  // The packages of others are there already, by hard links: installing them is the same work as for the first project.
  const rest = join(folder, 'today/my-api')
  await t.notThrowsAsync(run(clone, 'sh', '-ec', [commands[1], create].join('\n')))
  link(join(project, 'node_modules'), join(rest, 'node_modules'))
  await t.notThrowsAsync(run(clone, 'sh', '-ec', [install, 'npm test'].join('\n')))
})

test('npx grpc-functions init creates a project where nothing is installed', async (t) => {
  const empty = join(folder, 'empty')
  mkdirSync(empty)
  await run(empty, 'npx', 'grpc-functions', 'init', 'fresh')
  t.is(filesIn(join(empty, 'fresh')).length, 10)
  const other = await t.throwsAsync(run(empty, 'npx', 'grpc-functions', 'start'))
  t.regex(other?.message ?? '', /come with grpc-functions-dev/)
})

test('the release publishes every package, with provenance', (t) => {
  const workflow = readFileSync(join(root, '.github/workflows/release.yml'), 'utf8')
  const published = [...workflow.matchAll(/npm publish --provenance --access public \.\/dist\/(\S+)$/gm)]
  t.deepEqual(
    published.map(([, name]) => name),
    [...names],
  )
})

test('the command grpc-functions prints its help, creates a project and a key, and refuses all else', async (t) => {
  for (const bin of ['grpc-functions/bin.js', '.bin/grpc-functions']) {
    t.regex(await run(project, join('node_modules', bin), '--help'), /init [\s\S]*dev\|start[\s\S]*generate/)
  }
  const grpcFunctions = (...args: string[]) => run(project, 'node_modules/.bin/grpc-functions', ...args)
  const made = await run(project, 'npx', 'grpc-functions', 'key', 'partner', 'pkg.Service/Method')
  const [, key = '', digest] = /^key {3}(\S+)\nline {2}([\da-f]{64}) partner pkg\.Service\/Method\n$/.exec(made) ?? []
  t.is(digest, createHash('sha256').update(key).digest('hex'))
  const nameless = await t.throwsAsync(grpcFunctions('key'))
  t.regex(nameless?.message ?? '', /missing required argument 'name'/)
  const other = join(folder, 'other')
  t.regex(await grpcFunctions('init', other), /^Created \S+: 10 files/)
  t.deepEqual(filesIn(other).length, 10)
  t.is(JSON.parse(readFileSync(join(other, 'package.json'), 'utf8')).name, 'other')
  const again = await t.throwsAsync(grpcFunctions('init', other))
  t.regex(again?.message ?? '', /Cannot create a project in "\S+": expected a folder that is empty/)
  const misspelled = await t.throwsAsync(grpcFunctions('strat'))
  t.regex(misspelled?.message ?? '', /unknown command 'strat'[\s\S]*Did you mean start/)
})

const schema = JSON.stringify(join(root, 'src/gen/descriptors.binpb'))

/** Projects without TypeScript: the entry point, and a function of their own that knows the folder of its file. */
const plain = {
  'ES modules': {
    type: 'module',
    entry: `import {createRequire} from 'node:module'
import {start} from 'grpc-functions/start'

const require = createRequire(import.meta.url)

start(import.meta.dirname, process.env, {
  hello: () => require('./hello.js').hello,
  gateway: (runtime) => require('grpc-functions/gateway').gateway(runtime, {schema: ${schema}}),
}, () => ({flush: require('./flush.js').flush}))
`,
    hello: `import {json} from 'grpc-functions'

export const hello = () => json({hello: 'world', folder: import.meta.dirname, ...globalThis.flush})
`,
  },
  CommonJS: {
    type: 'commonjs',
    entry: `const {start} = require('grpc-functions/start')

start(__dirname, process.env, {
  hello: () => require('./hello.js').hello,
  gateway: (runtime) => require('grpc-functions/gateway').gateway(runtime, {schema: ${schema}}),
})
`,
    hello: `const {json} = require('grpc-functions')

exports.hello = () => json({hello: 'world', folder: __dirname})
`,
  },
  // Without start(), a build is not used.
  'ES modules, by run()': {
    type: 'module',
    entry: `import {run} from 'grpc-functions'
import {gateway} from 'grpc-functions/gateway'
import {hello} from './hello.js'

run(process.env, {hello: () => hello, gateway: (runtime) => gateway(runtime, {schema: ${schema}})})
`,
    hello: `export const hello = () => ({status: 200, headers: {}, body: '{}'})
`,
  },
}

/** An option of the runtime. It counts in the process, not in the module, how often it was loaded. */
const flush = `globalThis.flush ??= {loaded: 0, called: 0}
globalThis.flush.loaded++

export const flush = async () => void globalThis.flush.called++
`

for (const [kind, {type, entry, hello}] of Object.entries(plain)) {
  test(`a project in plain JavaScript, ${kind}, is served by the framework's --target, from its source and from a build`, async (t) => {
    const made = join(folder, kind.replaceAll(/\W+/g, '-'))
    mkdirSync(made)
    symlinkSync(join(project, 'node_modules'), join(made, 'node_modules'))
    writeFileSync(join(made, 'package.json'), JSON.stringify({name: 'plain', type, main: 'index.js'}))
    writeFileSync(join(made, 'index.js'), entry)
    writeFileSync(join(made, 'hello.js'), hello)
    writeFileSync(join(made, 'flush.js'), flush)
    const backend = await startBackend()
    t.teardown(() => backend.close())
    const ask = async (onCloudRun: boolean) => {
      const gateway = {root: made, target: 'gateway', path: '/api/ping?message=hi', backend: backend.url, onCloudRun}
      t.like(await answerOf(t, gateway), {pong: {message: 'hi'}})
      if (entry.includes('start(')) {
        const own = entry.includes('flush') ? {loaded: 1, called: 0} : {}
        const expected = {hello: 'world', folder: realpathSync(made), ...own}
        t.deepEqual(await answerOf(t, {...gateway, target: 'hello', path: '/'}), expected)
      }
    }
    await ask(false)
    if (!entry.includes('start(')) return
    await run(made, join(project, 'node_modules/.bin/grpc-functions'), 'build')
    rmSync(join(made, 'hello.js'))
    await ask(true)
    // On a developer's machine, an old build is not used.
    writeFileSync(join(made, 'hello.js'), hello.replace('world', 'you'))
    const source = {root: made, target: 'hello', path: '/', backend: backend.url, onCloudRun: false}
    t.like(await answerOf(t, source), {hello: 'you'})
  })
}

test('grpc-functions build leaves packages with native code, and those named by option, in node_modules', async (t) => {
  const made = join(folder, 'native')
  for (const [name, files] of Object.entries({
    'with-native-code': {'package.json': '{"main":"index.js","gypfile":true}', 'index.js': "exports.is = 'native'"},
    'left-out': {'package.json': '{"main":"index.js"}', 'index.js': 'exports.is = __filename'},
  })) {
    mkdirSync(join(made, 'node_modules', name), {recursive: true})
    for (const [file, text] of Object.entries(files)) writeFileSync(join(made, 'node_modules', name, file), text)
  }
  for (const name of ['grpc-functions', 'grpc-functions-dev', '@google-cloud', '@grpc', '@bufbuild']) {
    symlinkSync(join(project, 'node_modules', name), join(made, 'node_modules', name))
  }
  writeFileSync(join(made, 'package.json'), JSON.stringify({name: 'native', type: 'module', main: 'index.js'}))
  const entry = `import {createRequire} from 'node:module'
import {start} from 'grpc-functions/start'
import * as native from 'with-native-code'
import {is} from 'left-out'

const require = createRequire(import.meta.url)
start(import.meta.dirname, process.env, {
  packages: () => () => require('grpc-functions').json({native: native.is, leftOut: is}),
})
`
  writeFileSync(join(made, 'index.js'), entry)
  await run(made, join(project, 'node_modules/.bin/grpc-functions'), 'build', '--external=left-out')
  const bundle = readFileSync(join(made, 'dist/functions/functions.cjs'), 'utf8')
  t.regex(bundle, /require\("with-native-code"\)/)
  const packages = {root: made, target: 'packages', path: '/', backend: 'http://localhost:1', onCloudRun: true}
  const leftOut = realpathSync(join(made, 'node_modules/left-out/index.js'))
  t.deepEqual(await answerOf(t, packages), {native: 'native', leftOut})
  const misspelled = await t.throwsAsync(
    run(made, join(project, 'node_modules/.bin/grpc-functions'), 'build', 'nope.js'),
  )
  t.regex(misspelled?.message ?? '', /Cannot build "nope\.js": no such file in /)
})

interface Question {
  readonly root: string
  readonly target: string
  readonly path: string
  /** The URL of a backend. */
  readonly backend: string
  readonly onCloudRun: boolean
}

/** The JSON that a project's function answers when the framework serves it. */
async function answerOf(t: ExecutionContext, {root, target, path, backend, onCloudRun}: Question): Promise<unknown> {
  const cloudRun = onCloudRun ? {K_SERVICE: target, AUTH: 'none'} : {}
  const env = {BACKEND_URL: backend, BACKEND_AUDIENCE: 'none', LOG_LEVEL: 'silent', ...compileCache, ...cloudRun}
  const functions = await startFunctions({target, port: 0, root, env, output: 'pipe'})
  try {
    const response = await fetch(`${functions.url}${path}`)
    t.is(response.status, 200, `${target} ${path}`)
    return await response.json()
  } finally {
    functions.process.kill()
    await functions.exited
  }
}

for (const bin of ['grpc-functions', 'grpc-functions-dev', 'create-grpc-functions'] as const) {
  test(`the command of ${bin} prints one line if Node is too old`, async (t) => {
    const versions = JSON.stringify({...process.versions, node: '20.20.2'})
    const code = `Object.defineProperty(process, 'versions', {value: ${versions}})`
    const pretend = `data:text/javascript,${encodeURIComponent(code)}`
    const args = ['--import', pretend, join(built, bin, 'bin.js'), 'start']
    const child = spawn(process.execPath, args, {cwd: project, env: environment(), stdio: ['ignore', 'pipe', 'pipe']})
    const [out, err, [exit]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    t.deepEqual({out, err, exit}, {out: '', err: 'Node 20.20.2 is too old: expected Node 24 or later\n', exit: 1})
  })
}

/** Packs the current builds of the packages, and has the registry serve them. */
async function publish(packages: readonly string[]): Promise<void> {
  const packed = join(folder, 'packed')
  mkdirSync(packed, {recursive: true})
  const folders = packages.map((name) => join(built, name))
  const files = await run(folder, 'npm', 'pack', '--silent', '--pack-destination', packed, ...folders)
  for (const file of files.trim().split('\n')) registry.publish(join(packed, file))
}

/** Node's cache of compiled code for the processes of these tests, which load the same files several times. It changes nothing else. */
const compileCache = {NODE_COMPILE_CACHE: join(folder, 'compile-cache')}

/** The environment of a user's shell, with this Node and a compile cache, and without the tools installed here. */
function environment(): NodeJS.ProcessEnv {
  const {PATH = '', HOME, TMPDIR} = process.env
  const others = PATH.split(delimiter).filter((path) => !path.includes('node_modules'))
  return {HOME, TMPDIR, ...registry.env, ...compileCache, PATH: [join(folder, 'bin'), ...others].join(delimiter)}
}

/** Runs a command, and returns its output. @throws {Error} with the output if it fails */
async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const child = spawn(command, args, {cwd, env: environment(), stdio: ['ignore', 'pipe', 'pipe']})
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${out}\n${err}`)
  return out
}

/** Copies the folder `from`, without our own packages, by hard links. Symbolic links are copied. */
function link(from: string, to: string): void {
  mkdirSync(to, {recursive: true})
  for (const entry of readdirSync(from, {withFileTypes: true})) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (/^grpc-functions(-dev)?$/.test(entry.name)) continue
    if (entry.isDirectory()) link(source, target)
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target)
    else linkSync(source, target)
  }
}

function filesIn(path: string): string[] {
  return readdirSync(path, {recursive: true, withFileTypes: true})
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .sort()
}

/** The hash of each file of the project, except for those that npm writes. */
function hashes(path: string): Record<string, string> {
  const own = filesIn(path).filter((file) => !file.startsWith('node_modules/') && file !== 'package-lock.json')
  const hash = (file: string) =>
    createHash('sha256')
      .update(readFileSync(join(path, file)))
      .digest('hex')
  return Object.fromEntries(own.map((file) => [file, hash(file)]))
}
