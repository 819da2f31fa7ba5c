import {existsSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {bundle, nodeOfNpm, reportOf} from '../../tools/bundle/bundle.ts'
import {CommandError, type OutputOptions, print} from './output.ts'
import {root} from './this-project.ts'

interface BuildOptions extends OutputOptions {
  readonly external: readonly string[]
}

/**
 * Builds dist/ of the project in the working directory. `start` of grpc-functions/start loads it on Cloud Run.
 * @param entry the deployed entry point; default: `main` of package.json
 * @throws {CommandError} when there is no such file
 * @throws {Error} when esbuild finds an error, which it has printed
 */
export async function build(entry: string | undefined, options: BuildOptions): Promise<void> {
  const file = entry ?? main()
  if (!existsSync(join(root, file))) throw new CommandError(`Cannot build "${file}": no such file in ${root}`)
  const bundled = await bundle({root, entry: file, external: options.external, node: nodeOfNpm()})
  print(options, bundled, reportOf(bundled))
}

function main(): string {
  const {main = 'index.js'} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {main?: string}
  return main
}
