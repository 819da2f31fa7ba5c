import {createRequire} from 'node:module'
import {type Logger, type LoggerOptions, pino, stdSerializers} from 'pino'
import type {Config} from './config.ts'
import {boundedLine} from './log-line.ts'
import {inSource} from './source-places.ts'

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
const options = {
  messageKey: 'message',
  base: null,
  timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
  serializers: {err: errorFields},
  hooks: {streamWrite: boundedLine},
  formatters: {level: (label: string) => ({severity: severity[label as keyof typeof severity] ?? 'DEFAULT'})},
} satisfies LoggerOptions

/** As pino has it, with places in the source. */
function errorFields(error: unknown): unknown {
  const fields = stdSerializers.err(error as Error) as {stack?: unknown}
  if (typeof fields?.stack === 'string') fields.stack = inSource(fields.stack)
  return fields
}

/** A log with one JSON line a record, in Cloud Logging's names; with lines for a person where `logPretty`. */
export function createLog({logLevel: level, logPretty}: Pick<Config, 'logLevel' | 'logPretty'>): Logger {
  const plainOptions: LoggerOptions = {...options, level}
  // Written before the call returns: on Cloud Run what waits in memory may wait until the next request.
  const plain = () => pino(plainOptions, pino.destination({fd: 1, sync: true}))
  if (!logPretty) return plain()
  // A tool of development: where only what a deploy has is installed, a terminal gets the lines as they are.
  const pretty = pinoPretty()
  if (!pretty) return plain()
  return pino(
    {...plainOptions, timestamp: true, formatters: {}},
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
