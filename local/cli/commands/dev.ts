import {dev} from '../../dev/dev.ts'
import {type OutputOptions, progress} from '../output.ts'
import {thisProject} from '../this-project.ts'

/** Serves the project in the working directory until a signal ends it. */
export async function serve({target, json = false}: OutputOptions & {readonly target?: string}): Promise<void> {
  const project = await thisProject()
  if (!project.hasGenerated) await progress('Making src/gen of proto/', project.generate())
  process.exit(await dev(project, {target, json}))
}
