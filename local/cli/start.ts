import {endWithNpm} from '../parent.ts'
import {startLocal} from '../project.ts'
import {ownOrigins, portOf} from '../serving.ts'
import {generate} from './generate.ts'

/**
 * Serves the functions of the project `root` on PORT of this machine, in front of a local stack, until a signal ends both.
 * @param target which function; `app` unless given
 * @throws {Error} when the functions end by themselves
 */
export async function start(root: string, target = 'app'): Promise<void> {
  const port = portOf(process.env)
  await generate(root)
  const env = {CORS_ORIGINS: ownOrigins, ...process.env}
  const local = await startLocal({root, target, port, env, output: 'inherit'})
  let stopping = false
  const stop = (signal: NodeJS.Signals) => {
    stopping = true
    // From a terminal it has had its own; a second one does no harm.
    local.functions.process.kill(signal)
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  process.on('SIGHUP', () => stop('SIGTERM'))
  endWithNpm(() => stop('SIGTERM'))
  const {backend, storage} = local
  console.log(`backend    ${backend?.url ?? process.env.BACKEND_URL ?? 'as BACKEND_URL_… says'}`)
  console.log(`storage    ${storage?.url ?? process.env.STORAGE_EMULATOR_HOST}`)
  for (const line of await served(local.url)) console.log(line)
  console.log(`ready ${local.url}`)
  const code = await local.functions.exited
  await local.close()
  if (!stopping) throw new Error(`The functions ended with exit code ${code}`)
  process.exit(0)
}

/** A line for each method and path of the API, as its own description has them; none where it has none. */
async function served(url: string): Promise<string[]> {
  const response = await fetch(`${url}/openapi.json`)
  if (!response.ok) return []
  const {paths = {}} = (await response.json()) as {paths?: Record<string, Record<string, unknown>>}
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => /^(get|put|post|delete|patch)$/.test(method))
      .map((method) => `${method.toUpperCase().padEnd(10)} ${url}${path}`),
  )
}
