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

// @google-cloud/pino-logging-gcp-config is not used: it loads all of @google-cloud/logging, which takes four times as long as pino.
const options = {
  messageKey: 'message',
  base: null,
  timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
  serializers: {err: errorFields},
  hooks: {streamWrite: boundedLine},
  formatters: {level: (label: string) => ({severity: severity[label as keyof typeof severity] ?? 'DEFAULT'})},
} satisfies LoggerOptions

/** As pino serializes errors, but with positions in the source rather than in the bundle. */
function errorFields(error: unknown): unknown {
  const fields = stdSerializers.err(error as Error) as {stack?: unknown}
  if (typeof fields?.stack === 'string') fields.stack = inSource(fields.stack)
  return fields
}

/** A log that writes one JSON line for each record, with Cloud Logging's field names; or lines for people if `logPretty`. */
export function createLog({logLevel: level, logPretty}: Pick<Config, 'logLevel' | 'logPretty'>): Logger {
  const plainOptions: LoggerOptions = {...options, level}
  // Synchronous, because on Cloud Run buffered lines may have to wait until the next request.
  const plain = () => pino(plainOptions, pino.destination({fd: 1, sync: true}))
  if (!logPretty) return plain()
  // A development tool. If it is not installed, as in a deployment, a terminal gets the JSON lines.
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
