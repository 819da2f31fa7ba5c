import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import {tmpdir} from 'node:os'
import {dirname, join} from 'node:path'

/** Protos that come with this package: google/api, google/rpc, google/type, google/longrunning, and options of our own. */
const shipped = join(import.meta.dirname, '../../../proto')

const require = createRequire(import.meta.url)

/**
 * Generates `src/gen/` from `proto/` in the project `root`: JavaScript, types, and the descriptors for the gateway. Google's protos and
 * ours need not be in `proto/`. If they are, these files are used.
 * @throws {Error} when there is no proto, or buf finds an error, which it has printed
 */
export async function generate(root: string): Promise<void> {
  const own = join(root, 'proto')
  if (!protosIn(own).length) throw new Error(`Cannot generate: expected a .proto file in ${own}`)
  const workspace = mkdtempSync(join(tmpdir(), 'grpc-functions-'))
  try {
    // buf accepts only files below its workspace, and no file twice.
    cpSync(own, join(workspace, 'proto'), {recursive: true})
    for (const file of protosIn(shipped).filter((file) => !existsSync(join(own, file)))) {
      mkdirSync(dirname(join(workspace, 'shipped', file)), {recursive: true})
      cpSync(join(shipped, file), join(workspace, 'shipped', file))
    }
    const modules = readdirSync(workspace).map((path) => ({path}))
    writeFileSync(join(workspace, 'buf.yaml'), JSON.stringify({version: 'v2', modules}))
    const out = join(workspace, 'gen')
    await buf(workspace, ['generate', 'proto', '--include-imports', '--template', template(out)])
    await buf(workspace, ['build', 'proto', '--as-file-descriptor-set', '-o', join(out, 'descriptors.binpb')])
    const gen = join(root, 'src/gen')
    rmSync(gen, {recursive: true, force: true})
    cpSync(out, gen, {recursive: true})
  } finally {
    rmSync(workspace, {recursive: true})
  }
}

function protosIn(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, {recursive: true, encoding: 'utf8'}).filter((path) => path.endsWith('.proto'))
}

/**
 * The template for JavaScript with declarations. The TypeScript target writes enums, which type stripping does not support.
 * The plugin gets all files in one process: buf's default is a process for each folder.
 */
function template(out: string): string {
  const plugin = join(dirname(require.resolve('@bufbuild/protoc-gen-es/package.json')), 'bin/protoc-gen-es')
  const opt = ['target=js+dts', 'import_extension=js', 'json_types=false']
  return JSON.stringify({version: 'v2', plugins: [{local: [process.execPath, plugin], out, opt, strategy: 'all'}]})
}

async function buf(cwd: string, args: readonly string[]): Promise<void> {
  const bin = join(dirname(require.resolve('@bufbuild/buf/package.json')), 'bin/buf')
  const child = spawn(process.execPath, [bin, ...args], {cwd, stdio: ['ignore', 'inherit', 'inherit']})
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`Cannot generate from proto/: buf ${args[0]} ended with ${code}`)
}
