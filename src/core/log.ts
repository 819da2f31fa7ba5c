import {createRequire} from 'node:module'
import {type Logger, type LoggerOptions, pino} from 'pino'
import {config} from './config.ts'
import {boundedLine} from './log-line.ts'

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
  hooks: {streamWrite: boundedLine},
  formatters: {level: (label) => ({severity: severity[label as keyof typeof severity] ?? 'DEFAULT'})},
}

/** One JSON line a record, in Cloud Logging's names; lines for a person in a terminal. */
export const log: Logger = open()

function open(): Logger {
  // Written before the call returns: on Cloud Run what waits in memory may wait until the next request.
  const plain = () => pino(options, pino.destination({fd: 1, sync: true}))
  if (!config.logPretty) return plain()
  // A tool of development: where only what a deploy has is installed, a terminal gets the lines as they are.
  const pretty = pinoPretty()
  if (!pretty) return plain()
  return pino(
    {...options, timestamp: true, formatters: {}},
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

function pinoPretty(): typeof import('pino-pretty') | undefined {
  try {
    return createRequire(import.meta.url)('pino-pretty')
  } catch {
    return undefined
  }
}
