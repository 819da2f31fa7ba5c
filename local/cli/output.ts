/** What every command takes. */
export interface OutputOptions {
  readonly json?: boolean
}

/** A failure that has an exit code of its own. */
export class CommandError extends Error {
  readonly exitCode: number
  /** What the JSON of the failure has beside its message. */
  readonly fields: object

  constructor(message: string, exitCode = 1, fields: object = {}) {
    super(message)
    this.exitCode = exitCode
    this.fields = fields
  }
}

/** Prints the outcome of a command: `value` as JSON where that is asked for, or else `text`. */
export function print({json}: OutputOptions, value: unknown, text: string): void {
  process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`)
}

/** A failure is a line for the person at the terminal. */
export function fail(error: unknown, json: boolean): void {
  const message = error instanceof Error ? error.message : String(error)
  const fields = error instanceof CommandError ? error.fields : {}
  if (json) process.stdout.write(`${JSON.stringify({error: {message, ...fields}}, null, 2)}\n`)
  else process.stderr.write(`${message}\n`)
  process.exitCode = error instanceof CommandError ? error.exitCode : 1
}

/** How long a command says nothing while it works, in ms. */
const patience = 1000

/** Says what takes time, on standard error, when it does. */
export async function progress<T>(doing: string, work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => process.stderr.write(`${doing} …\n`), patience)
  try {
    return await work
  } finally {
    clearTimeout(timer)
  }
}

/** Rows with their columns below each other. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
