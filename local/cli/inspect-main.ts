/** Loads the entry point of a project, reports its functions on file descriptor 3, and ends before anything listens. */
import {subscribe} from 'node:diagnostics_channel'
import {writeFileSync} from 'node:fs'
import {pathToFileURL} from 'node:url'
import {type Routes, routesOf, type ToldSchema} from '../dev/routes.ts'

/** Additional parts of the report, beside functions and routes. */
export interface Inspection {
  /** The text of /openapi.json. */
  readonly openApi?: boolean
}

/** The report about a project's functions. */
export interface Inspected {
  readonly functions: readonly string[]
  readonly schema?: Routes
  readonly openApi?: string
  /** Whether they could not be started. */
  readonly failed?: boolean
  /** Their error output. */
  readonly errors?: string
}

const [main = '', given = '{}'] = process.argv.slice(2)
const {openApi} = JSON.parse(given) as Inspection

let functions: readonly string[] = []
let schema: ToldSchema | undefined
let gateway: {document(): Promise<string>} | undefined
subscribe('grpc-functions:functions', (message) => {
  functions = (message as {names: readonly string[]}).names
})
subscribe('grpc-functions:schema', (message) => {
  schema ??= message as ToldSchema
})
subscribe('grpc-functions:gateway', (message) => {
  gateway ??= message as {document(): Promise<string>}
})

let document: string | undefined
process.once('exit', (code) => {
  const inspected: Inspected = {
    functions,
    ...(schema && {schema: routesOf(schema)}),
    ...(openApi && document !== undefined && {openApi: document}),
    ...(code !== 0 && {failed: true}),
  }
  writeFileSync(3, JSON.stringify(inspected))
})

await import(pathToFileURL(main).href)
try {
  // With reflection, the schema is fetched now.
  if (openApi || (gateway && !schema)) document = await gateway?.document()
} catch (error) {
  const {message, hint} = error as Error & {hint?: string}
  console.error(hint ? `${message}: ${hint}` : message)
  process.exit(1)
}
process.exit(0)
