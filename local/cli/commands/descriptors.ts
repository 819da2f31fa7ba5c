import {readFileSync, writeFileSync} from 'node:fs'
import {fromBinary} from '@bufbuild/protobuf'
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {upToDate} from '../inspect.ts'
import {CommandError, type OutputOptions, print} from '../output.ts'
import {thisProject} from '../this-project.ts'

/** Writes the FileDescriptorSet of proto/, with all that it imports. */
export async function descriptors({out, ...options}: OutputOptions & {readonly out?: string}): Promise<void> {
  if (!out && (options.json || process.stdout.isTTY)) {
    throw new CommandError('A FileDescriptorSet is no text: expected --out FILE', 2)
  }
  const bytes = readFileSync(await upToDate(await thisProject()))
  if (!out) return void process.stdout.write(bytes)
  const files = fromBinary(FileDescriptorSetSchema, bytes).file.map(({name}) => name)
  writeFileSync(out, bytes)
  print(options, {out, files}, `Wrote ${out}: ${files.length} files, ${bytes.length} bytes`)
}
