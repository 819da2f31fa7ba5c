import {execFileSync} from 'node:child_process'
import {cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createFileRegistry, type FileRegistry, fromBinary} from '@bufbuild/protobuf'
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'

const root = join(import.meta.dirname, '../..')

/** A set of protos in a file for GATEWAY_DESCRIPTORS, as a team would give it to the gateway. */
export interface Schema extends Disposable {
  readonly path: string
  readonly registry: FileRegistry
}

/**
 * Runs `buf build` on `protos`, which are texts by file name. They may import every/*.proto and the files of proto/google and
 * proto/grpc_functions, except for those that `others` replace.
 */
export function buildSchema(
  protos: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>> = {},
): Schema {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-'))
  const path = join(folder, 'set.binpb')
  const imports = Object.values(protos).some((text) => text.includes('import "every/'))
  if (imports) cpSync(join(root, 'test/transcoding/protos'), folder, {recursive: true})
  for (const name of ['google', 'grpc_functions'])
    cpSync(join(root, 'proto', name), join(folder, name), {recursive: true})
  for (const [name, text] of Object.entries({...protos, ...others})) writeFileSync(join(folder, name), text)
  writeFileSync(join(folder, 'buf.yaml'), 'version: v2\n')
  execFileSync(join(root, 'node_modules/.bin/buf'), ['build', '--as-file-descriptor-set', '-o', path], {cwd: folder})
  return {
    path,
    registry: createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(path))),
    [Symbol.dispose]: () => rmSync(folder, {recursive: true, force: true}),
  }
}

/** The schema of gateway-protos/served.proto, together with `more`. */
export function servedSchema(more: Readonly<Record<string, string>> = {}): Schema {
  const served = readFileSync(join(import.meta.dirname, 'gateway-protos/served.proto'), 'utf8')
  return buildSchema({'served.proto': served, ...more})
}
