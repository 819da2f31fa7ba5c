import type {Announcement} from '../announce.ts'
import type {Route, Routes} from './routes.ts'

// The messages of a development server.

/** Limit for the listed routes, so that they fit into a terminal. */
const mostRoutes = 30
/** Number of example requests. */
const tried = 3

export interface Told {
  readonly url: string
  /** The function that is served; undefined: all of them. */
  readonly target: string | undefined
  readonly said: Announcement
  readonly parts: readonly (readonly [name: string, place: string])[]
  /** URL that issues tokens for the functions. */
  readonly token: string | undefined
}

/** The text at start: the served functions, their URLs, and example requests. */
export function announcementOf({url, target, said, parts, token}: Told): string {
  const lines = [
    functionsLine(url, target, said),
    ...parts.map(([name, place]) => `${name.padEnd(10)} ${place}`),
    ...(token ? [`token      TOKEN=$(curl -s -H 'Metadata-Flavor: Google' '${token}')`] : []),
    ...routesLines(said.schema),
    '',
    'Try:',
    ...requests(said, target).map((request) => `  curl ${authorization(token)}${request.replace('{url}', url)}`),
    '',
  ]
  return lines.join('\n')
}

function authorization(token: string | undefined): string {
  return token ? '-H "Authorization: Bearer $TOKEN" ' : ''
}

function functionsLine(url: string, target: string | undefined, {functions = []}: Announcement): string {
  if (target) return `function   ${target} at ${url}`
  const paths = pathsOf(functions).map((path) => `${url}${path}`)
  return `functions  ${[...paths, `${url}/openapi.json`].join('  ')}`
}

/** The paths of the functions other than app and gateway. */
function pathsOf(functions: readonly string[]): string[] {
  return functions.filter((name) => name !== 'app' && name !== 'gateway').map((name) => `/${name}`)
}

function routesLines(schema: Routes | undefined): string[] {
  if (!schema) return []
  const {routes, unserved} = schema
  const shown = routes.slice(0, mostRoutes)
  const width = Math.max(...shown.map(({http, path}) => http.length + path.length + 1))
  const more = routes.length - shown.length
  return [
    '',
    ...shown.map(({http, path, method}) => `  ${`${http} ${path}`.padEnd(width)}  ${method}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
    ...(unserved.length > 0 ? [`  not served: ${unserved.length} (npx grpc-functions routes says why)`] : []),
  ]
}

/** Example requests of different kinds, for routes, or else for functions. */
function requests({schema, functions = []}: Announcement, target: string | undefined): string[] {
  const routes = schema?.routes ?? []
  const isGet = ({http, kind}: Route) => http === 'GET' && kind === 'unary'
  const hasBody = ({curl, kind}: Route) => curl.includes(' -d ') && kind === 'unary'
  const streams = ({kind}: Route) => kind === 'server_streaming'
  const firsts = [isGet, hasBody, streams].flatMap((is) => routes.find(is) ?? [])
  const chosen = [...new Set([...firsts, ...routes])].slice(0, tried)
  if (chosen.length > 0) return chosen.map(({curl}) => curl)
  return target ? ['{url}'] : pathsOf(functions).map((path) => `{url}${path}`)
}

/** Text that lists the new routes, appended to a line; empty if there are none. */
export function newRoutes(before: Routes | undefined, now: Routes | undefined): string {
  const known = new Set(before?.routes.map(nameOf))
  const added = (now?.routes ?? []).map(nameOf).filter((name) => !known.has(name))
  if (!before || added.length === 0) return ''
  const more = added.length > tried ? ` and ${added.length - tried} more` : ''
  return `; new: ${added.slice(0, tried).join(', ')}${more}`
}

function nameOf({http, path}: Route): string {
  return `${http} ${path}`
}
