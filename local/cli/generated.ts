import {type OutputOptions, print, progress} from './output.ts'
import {thisProject} from './this-project.ts'

export async function generated(options: OutputOptions): Promise<void> {
  const project = await thisProject()
  await progress('Making src/gen of proto/', project.generate())
  if (options.json) print(options, {generated: project.folders.generated}, '')
}
