import {createRegistry, type DescFile, type Registry} from '@bufbuild/protobuf'
import type {Call} from './call.ts'

const byFile = new WeakMap<DescFile, Registry>()

/** Message types for the error details of `call`: the types that the call names, or all that its proto file imports. */
export function detailTypesOf({types, method}: Call): Registry {
  if (types) return types
  const {file} = method.parent
  const found = byFile.get(file) ?? createRegistry(...filesFrom(file))
  byFile.set(file, found)
  return found
}

function filesFrom(file: DescFile, files = new Set<DescFile>()): Set<DescFile> {
  if (files.has(file)) return files
  files.add(file)
  for (const dependency of file.dependencies) filesFrom(dependency, files)
  return files
}
