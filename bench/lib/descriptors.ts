import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {create, fromBinary, toBinary} from '@bufbuild/protobuf'
import {type FileDescriptorSet, FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {kindsFiles} from '../../test/local/kinds.ts'

const own = join(import.meta.dirname, '../../src/gen/descriptors.binpb')

/** This repository's descriptors, together with those of `added`, which is `test.Kinds` by default. */
export function descriptors(added: FileDescriptorSet = kindsFiles): FileDescriptorSet {
  const {file} = fromBinary(FileDescriptorSetSchema, readFileSync(own))
  return create(FileDescriptorSetSchema, {file: [...file, ...added.file]})
}

/** Writes `set` to a file; disposing of it removes the file. */
export function descriptorFile(set: FileDescriptorSet = descriptors()): {path: string} & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'bench-descriptors-'))
  const path = join(folder, 'set.binpb')
  writeFileSync(path, toBinary(FileDescriptorSetSchema, set))
  return {path, [Symbol.dispose]: () => rmSync(folder, {recursive: true})}
}
