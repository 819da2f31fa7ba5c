import {createProject} from '../../../packages/create-grpc-functions/src/create.ts'
import {createdText} from '../../../packages/create-grpc-functions/src/run.ts'
import {type OutputOptions, print} from '../output.ts'

export function init(folder: string, options: OutputOptions): void {
  const files = createProject(folder)
  print(options, {folder, files}, createdText(folder, files))
}
