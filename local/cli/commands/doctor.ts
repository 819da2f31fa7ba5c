import {type Backend, type Config, ConfigError, readConfig} from '../../../src/core/config.ts'
import {type Check, Diagnosis} from '../diagnosis.ts'
import {type OutputOptions, print, progress} from '../output.ts'
import {troubles} from '../troubles.ts'

interface DoctorOptions extends OutputOptions {
  readonly audience?: string
  /** In seconds. */
  readonly timeout: number
}

/** The findings about one backend. */
interface Finding {
  readonly url: string
  readonly checks: readonly Check[]
}

/** Prints the problems of the backend at `url`, or of the environment's backends, and the commands that fix them. */
export async function doctor(url: string | undefined, options: DoctorOptions): Promise<void> {
  const findings = await progress('Checking the backends', find(url, options))
  const isWell = findings.every(({checks}) => checks.every(({state}) => state !== 'wrong'))
  print(options, {ok: isWell, backends: findings}, findings.map(textOf).join('\n\n'))
  if (!isWell) process.exitCode = 1
}

async function find(url: string | undefined, {audience, timeout}: DoctorOptions): Promise<Finding[]> {
  const env = url ? {...withoutBackends(), BACKEND_URL: url, BACKEND_AUDIENCE: audience} : process.env
  let config: Config
  let backends: readonly Backend[]
  try {
    config = readConfig(env)
    backends = config.backends
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return [{url: url ?? process.env.BACKEND_URL ?? '', checks: [wrongUrl('URL', error.message)]}]
  }
  if (backends.length === 0) return [{url: '', checks: [wrongUrl('URL_NOT_SET')]}]
  return await Promise.all(
    backends.map(async (backend) => ({
      url: backend.url,
      checks: [
        {what: 'URL', state: 'ok', is: backend.tls ? 'https: TLS' : 'http: plaintext'} as const,
        ...(await new Diagnosis(backend, config, timeout * 1000).run()),
      ],
    })),
  )
}

/** The environment without the variables of its own backends. */
function withoutBackends(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^BACKEND_(URL|AUDIENCE)(_|$)/.test(name)))
}

function wrongUrl(cause: 'URL' | 'URL_NOT_SET', why?: string): Check {
  const {is, change, line} = troubles[cause]
  return {what: 'URL', state: 'wrong', is: why ?? is(), cause, change: change(), line: line()}
}

const marks = {ok: 'ok  ', wrong: 'WRONG', note: 'note'} as const

function textOf({url, checks}: Finding): string {
  const rows = checks.flatMap(({what, state, is, cause, change, line}) => [
    `  ${marks[state].padEnd(5)}  ${what.padEnd(10)}  ${is}${cause ? ` (${cause})` : ''}`,
    ...(change ? [`         ${''.padEnd(10)}  ${change}:`, `         ${''.padEnd(10)}    ${line}`] : []),
  ])
  return [url, ...rows].filter(Boolean).join('\n')
}
