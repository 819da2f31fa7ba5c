import type {Routes} from '../../dev/routes.ts'
import {inspect} from '../inspect.ts'
import {type OutputOptions, print, table} from '../output.ts'
import {thisProject} from '../this-project.ts'

const none: Routes = {routes: [], unserved: [], problems: []}

/** Lists the routes of the project in the working directory: those that are served, those that are not and why, and conflicts. */
export async function routes(options: OutputOptions): Promise<void> {
  const {functions, schema = none, failed = false} = await inspect(await thisProject())
  const shown = schema.routes.map(({curl, ...route}) => ({...route, example: `curl ${curl}`}))
  print(options, {functions, ...schema, routes: shown}, textOf(functions, schema))
  if (failed) process.exitCode = 1
}

function textOf(functions: readonly string[], {routes, unserved, problems}: Routes): string {
  const kinds = {
    unary: '',
    server_streaming: 'answers a stream',
    client_streaming: 'takes a stream',
    bidi_streaming: 'both',
  }
  const rows = routes.map(({http, path, method, kind}) => [http, path, method, kinds[kind]])
  const parts = [
    `Functions: ${functions.join(', ')}`,
    rows.length > 0 ? table([['HTTP', 'path', 'method', 'stream'], ...rows]) : 'No method is served.',
    ...(unserved.length > 0
      ? [`Not served:\n${table(unserved.map(({name, why}) => [`  ${name}`, reasons[why] ?? why]))}`]
      : []),
    ...(problems.length > 0 ? [`Cannot be served:\n${problems.map((problem) => `  ${problem}`).join('\n')}`] : []),
  ]
  return parts.join('\n\n')
}

const reasons: Readonly<Record<string, string>> = {
  'no rule':
    'it has no google.api.http rule: GATEWAY_DEFAULT_BINDINGS=true, or its service in GATEWAY_SERVICES, serves it',
  imported: 'it is only imported: GATEWAY_SERVICES or GATEWAY_DEFAULT_BINDINGS=true serves it',
  'not named': 'it is not in GATEWAY_SERVICES',
  unservable: 'its rule cannot be served, for the reason below',
}
