import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createFileRegistry, type FileRegistry, fromBinary} from '@bufbuild/protobuf'
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {bufBuild, protosIn} from '../helpers/buf.ts'

/** A set of protos in a file for GATEWAY_DESCRIPTORS, as a team would give it to the gateway. */
export interface Schema extends Disposable {
  readonly path: string
  readonly registry: FileRegistry
}

/** google/api/routing.proto, as far as the gateway reads it. */
export const routingProto = `
syntax = "proto3";
package google.api;
import "google/protobuf/descriptor.proto";
extend google.protobuf.MethodOptions { google.api.RoutingRule routing = 72295729; }
message RoutingRule { repeated RoutingParameter routing_parameters = 2; }
message RoutingParameter { string field = 1; string path_template = 2; }
`

/**
 * Runs `buf build` on `protos`, which are texts by file name. They may import every/*.proto and the files of proto/google and
 * proto/grpc_functions, except for those that `others` replace.
 */
export function buildSchema(
  protos: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>> = {},
): Schema {
  const imports = Object.values(protos).some((text) => text.includes('import "every/'))
  const set = bufBuild(
    {
      ...(imports && protosIn('test/transcoding/protos')),
      ...protosIn('proto/google', 'google'),
      ...protosIn('proto/grpc_functions', 'grpc_functions'),
      ...protos,
      ...others,
    },
    '--as-file-descriptor-set',
  )
  const folder = mkdtempSync(join(tmpdir(), 'gateway-'))
  const path = join(folder, 'set.binpb')
  writeFileSync(path, set)
  return {
    path,
    registry: createFileRegistry(fromBinary(FileDescriptorSetSchema, set)),
    [Symbol.dispose]: () => rmSync(folder, {recursive: true, force: true}),
  }
}

/** The schema of gateway-protos/served.proto, together with `more`. */
export function servedSchema(more: Readonly<Record<string, string>> = {}): Schema {
  const served = readFileSync(join(import.meta.dirname, 'gateway-protos/served.proto'), 'utf8')
  return buildSchema({'served.proto': served, ...more})
}
