/**
 * `npm run generate`: makes src/gen from proto/ and, if that folder exists, samples/gen from samples/proto. Each has JavaScript, types,
 * and descriptors.binpb, the schema for the gateway. That of the samples contains proto/ too.
 */
import {execFileSync} from 'node:child_process'
import {existsSync, mkdirSync, readdirSync} from 'node:fs'
import {join} from 'node:path'

const root = join(import.meta.dirname, '..')

/** What to generate: code and descriptors for the files of these modules, whose imports are found in `modules`. */
interface Output {
  readonly folder: string
  readonly modules: readonly string[]
  readonly code: readonly string[]
  readonly descriptors: readonly string[]
}

/** The proto of grpc.health.v1, from the package that the local stack uses to serve it. */
const health = 'node_modules/grpc-health-check/proto'

const outputs: readonly Output[] = [
  {folder: 'src/gen', modules: ['proto', health], code: ['proto', health], descriptors: ['proto']},
  {
    folder: 'samples/gen',
    modules: ['proto', 'samples/proto'],
    code: ['samples/proto'],
    descriptors: ['proto', 'samples/proto'],
  },
]

/** Generates everything for which there are protos, in the project's folder or in `out`. Returns the generated folders. */
export function generate(out = root): string[] {
  const made = outputs.filter(({modules}) => modules.every((path) => existsSync(join(root, path))))
  for (const output of made) make(output, out)
  return made.map(({folder}) => folder)
}

function make({folder, modules, code, descriptors}: Output, out: string): void {
  const config = ['--config', JSON.stringify({version: 'v2', modules: modules.map((path) => ({path}))})]
  const to = join(out, folder)
  mkdirSync(to, {recursive: true})
  buf('generate', '.', ...config, ...pathsIn(code), '--include-imports', '--template', template(to))
  buf('build', '.', ...config, ...pathsIn(descriptors), '--as-file-descriptor-set', '-o', join(to, 'descriptors.binpb'))
}

/** Each proto file of the modules, because buf does not accept a module itself. */
function pathsIn(modules: readonly string[]): string[] {
  const files = modules.flatMap((module) =>
    readdirSync(join(root, module), {recursive: true, encoding: 'utf8'}).map((name) => join(module, name)),
  )
  return files.filter((path) => path.endsWith('.proto')).flatMap((path) => ['--path', path])
}

/**
 * The template for JavaScript with declarations. The TypeScript target writes enums, which type stripping does not support.
 * The plugin gets all files in one process: buf's default is a process for each folder.
 */
function template(out: string): string {
  const opt = ['target=js+dts', 'import_extension=js', 'json_types=false']
  return JSON.stringify({version: 'v2', clean: true, plugins: [{local: 'protoc-gen-es', out, opt, strategy: 'all'}]})
}

function buf(...args: readonly string[]): void {
  const path = `${join(root, 'node_modules/.bin')}:${process.env.PATH}`
  execFileSync('buf', args, {cwd: root, env: {...process.env, PATH: path}, stdio: ['ignore', 'inherit', 'inherit']})
}

if (import.meta.main) {
  try {
    generate()
  } catch (error) {
    const {status, message} = error as {status?: number | null; message: string}
    // buf has said why, if it ran.
    console.error(typeof status === 'number' ? 'Cannot generate' : `Cannot generate: ${message}`)
    process.exitCode = 1
  }
}
