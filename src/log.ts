import {type Logger, type LoggerOptions, pino} from 'pino'
import {config} from './config.ts'

export type {Logger} from 'pino'

/** Cloud Logging's names for pino's levels. */
const severity = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
} as const

// @google-cloud/pino-logging-gcp-config is not used: it loads all of @google-cloud/logging, four times what pino takes.
const options: LoggerOptions = {
  level: config.logLevel,
  messageKey: 'message',
  base: null,
  timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
  formatters: {level: (label) => ({severity: severity[label as keyof typeof severity] ?? 'DEFAULT'})},
}

/** One JSON line a record, in Cloud Logging's names; lines for a person in a terminal. */
export const log: Logger = await open()

async function open(): Promise<Logger> {
  // Written before the call returns: on Cloud Run what waits in memory may wait until the next request.
  if (!config.logPretty) return pino(options, pino.destination({fd: 1, sync: true}))
  const {default: pretty} = await import('pino-pretty')
  return pino(
    {...options, timestamp: undefined, formatters: {}},
    pretty({
      sync: true,
      messageKey: 'message',
      translateTime: 'HH:MM:ss.l',
      singleLine: true,
      ignore:
        'httpRequest,logging\\.googleapis\\.com/trace,logging\\.googleapis\\.com/spanId,logging\\.googleapis\\.com/trace_sampled,requestId',
    }),
  )
}
