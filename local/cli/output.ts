/** Options of every command. */
export interface OutputOptions {
  readonly json?: boolean
}

/** An error with its own exit code. */
export class CommandError extends Error {
  readonly exitCode: number
  /** Fields of the error's JSON beside its message. */
  readonly fields: object

  constructor(message: string, exitCode = 1, fields: object = {}) {
    super(message)
    this.exitCode = exitCode
    this.fields = fields
  }
}

/** Prints the result of a command: `value` as JSON with --json, or else `text`. */
export function print({json}: OutputOptions, value: unknown, text: string): void {
  process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`)
}

/** Prints an error in one line, or as JSON. */
export function fail(error: unknown, json: boolean): void {
  const message = error instanceof Error ? error.message : String(error)
  const fields = error instanceof CommandError ? error.fields : {}
  if (json) process.stdout.write(`${JSON.stringify({error: {message, ...fields}}, null, 2)}\n`)
  else process.stderr.write(`${message}\n`)
  process.exitCode = error instanceof CommandError ? error.exitCode : 1
}

/** Time after which progress is shown, in ms. */
const patience = 1000

/** Prints `doing` on standard error if `work` takes long. */
export async function progress<T>(doing: string, work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => process.stderr.write(`${doing} …\n`), patience)
  try {
    return await work
  } finally {
    clearTimeout(timer)
  }
}

/** Aligns the columns of rows. */
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
