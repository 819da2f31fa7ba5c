import {existsSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {FileRegistry} from '@bufbuild/protobuf'
import {readSchema} from '../../src/transcoding/schema/schema.ts'
import {upToDate} from './inspect.ts'
import {CommandError} from './output.ts'
import {root, thisProject} from './this-project.ts'

/**
 * The schema: from `file`, or else GATEWAY_DESCRIPTORS, or else the project in the working directory, or else from `ask`.
 * @throws {CommandError} when there is none
 */
export async function schemaOf(file: string | undefined, ask?: () => Promise<FileRegistry>): Promise<FileRegistry> {
  if (file === 'reflection') {
    if (ask) return await ask()
    throw new CommandError('A schema by reflection comes from a backend: expected --backend as well', 2)
  }
  const named = file ?? process.env.GATEWAY_DESCRIPTORS
  if (named) return readFrom(named)
  if (!existsSync(join(root, 'package.json')) || !existsSync(join(root, 'proto'))) {
    if (ask) return await ask()
    throw new CommandError(`There is no proto/ in ${root}: expected --schema FILE, a FileDescriptorSet`)
  }
  const project = await thisProject()
  const own = await project.environment?.(process.env.BACKEND_URL === undefined)
  return readFrom(own?.GATEWAY_DESCRIPTORS ?? (await upToDate(project)))
}

function readFrom(file: string): FileRegistry {
  try {
    return readSchema(readFileSync(file))
  } catch (error) {
    throw new CommandError(`Cannot read ${file}: expected a FileDescriptorSet: ${(error as Error).message}`)
  }
}
