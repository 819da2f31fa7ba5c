import {fitting, shortened} from './shortened.ts'

/** Limit for a line, in characters. Cloud Logging accepts 256 KiB for each entry, and a character takes up to 3 bytes of UTF-8. */
const maxLine = 32 * 1024
/** Limits for the strings of a record that is too long, in characters, tried in this order. */
const stringLimits = [4096, 256] as const

/**
 * Shortens `line`, a JSON object, if it is too long: first its strings, then, if that is not enough, by removing the largest fields.
 */
export function boundedLine(line: string): string {
  if (line.length <= maxLine) return line
  const record = JSON.parse(line) as Record<string, unknown>
  for (const most of stringLimits) {
    const shorter = JSON.stringify(record, (_name, value) =>
      typeof value === 'string' ? shortened(value, most) : value,
    )
    if (shorter.length < maxLine) return `${shorter}\n`
  }
  return `${JSON.stringify(withoutLargest(record))}\n`
}

function withoutLargest(record: Record<string, unknown>): Record<string, unknown> {
  const fields = Object.entries(record)
    .map(([name, value]) => [name, typeof value === 'string' ? shortened(value, stringLimits[1]) : value] as const)
    .sort((a, b) => sizeOf(a) - sizeOf(b))
  return Object.fromEntries(fitting(fields, maxLine, sizeOf))
}

function sizeOf(field: readonly [string, unknown]): number {
  return JSON.stringify(field).length
}
