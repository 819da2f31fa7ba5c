import {writeFileSync} from 'node:fs'
import {inspect} from '../inspect.ts'
import {CommandError, type OutputOptions, print} from '../output.ts'
import {thisProject} from '../this-project.ts'

interface OpenApiOptions extends OutputOptions {
  readonly out?: string
  readonly format?: 'json' | 'yaml'
}

/** Writes the description of the API that the functions give at /openapi.json. */
export async function openapi({
  out,
  json,
  format = /\.ya?ml$/.test(out ?? '') ? 'yaml' : 'json',
}: OpenApiOptions): Promise<void> {
  const {openApi, errors} = await inspect(await thisProject(), {openApi: true})
  if (openApi === undefined) throw new CommandError(`There is no description: ${errors || 'no function is a gateway'}`)
  const document = JSON.parse(openApi) as {paths: object}
  const text = format === 'yaml' ? (await import('yaml')).stringify(document) : `${JSON.stringify(document, null, 2)}\n`
  if (!out && json && format === 'yaml') throw new CommandError('YAML is no JSON: expected --out FILE as well', 2)
  if (!out) process.stdout.write(text)
  else {
    writeFileSync(out, text)
    print(
      {json: json ?? false},
      {out, paths: Object.keys(document.paths).length},
      `Wrote ${out}: ${Object.keys(document.paths).length} paths`,
    )
  }
}
