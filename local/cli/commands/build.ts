import {existsSync, readFileSync, realpathSync} from 'node:fs'
import {join} from 'node:path'
import {bundle, nodeOfNpm, reportOf} from '../../../tools/bundle/bundle.ts'
import {CommandError, type OutputOptions, print} from '../output.ts'
import {root} from '../this-project.ts'

/** In the package, a folder inside node_modules. */
const repository = join(import.meta.dirname, '../../..')

interface BuildOptions extends OutputOptions {
  readonly external: readonly string[]
}

/**
 * Builds dist/ of the project in the working directory. `start` of grpc-functions/start loads it on Cloud Run.
 * @param entry the deployed entry point; default: `main` of package.json, or what `npm run gcp-build` builds in the repository of grpc-functions
 * @throws {CommandError} when there is no such file
 * @throws {Error} when esbuild finds an error, which it has printed
 */
export async function build(entry: string | undefined, options: BuildOptions): Promise<void> {
  const file = entry ?? main()
  if (file && !existsSync(join(root, file))) throw new CommandError(`Cannot build "${file}": no such file in ${root}`)
  const bundled = await bundle({root, ...(file && {entry: file}), external: options.external, node: nodeOfNpm()})
  print(options, bundled, reportOf(bundled))
}

/** `main` of package.json. Undefined in the repository of grpc-functions, where `main` loads the build if there is one: the default entry. */
function main(): string | undefined {
  if (realpathSync(root) === repository) return undefined
  const {main = 'index.js'} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {main?: string}
  return main
}
