import {appendFileSync, existsSync, readFileSync, writeFileSync} from 'node:fs'
import type {Mutation} from './mutations.ts'

/** The result of a fault. `level`: how many levels of its tests have run, 1 to 3; `by`: the test that noticed it. */
export interface Result {
  readonly level: number
  readonly by?: string
}

type Row = Result & Pick<Mutation, 'file' | 'find' | 'replace'>

/** Results of faults, one line of JSON each. With a file, they include those of former runs. The last line of a fault counts. */
export class Results {
  readonly #file: string | undefined
  readonly #of = new Map<string, Result>()

  constructor(file: string | undefined) {
    this.#file = file
    if (file === undefined || !existsSync(file)) return
    const text = readFileSync(file, 'utf8')
    const complete = text.slice(0, text.lastIndexOf('\n') + 1)
    // The interruption cut the last line, so that fault runs again.
    if (complete !== text) writeFileSync(file, complete)
    for (const line of complete.split('\n').filter(Boolean)) {
      const row: Row = JSON.parse(line)
      this.#of.set(keyOf(row), row)
    }
  }

  of(mutation: Mutation): Result | undefined {
    return this.#of.get(keyOf(mutation))
  }

  add(mutation: Mutation, result: Result): void {
    this.#of.set(keyOf(mutation), result)
    if (this.#file === undefined) return
    const {file, find, replace} = mutation
    appendFileSync(this.#file, `${JSON.stringify({file, find, replace, ...result} satisfies Row)}\n`)
  }

  /** Forgets that no test noticed the fault. */
  forgetSurvival(mutation: Mutation): void {
    if (this.of(mutation)?.by === undefined) this.#of.delete(keyOf(mutation))
  }
}

function keyOf({file, find, replace}: Pick<Mutation, 'file' | 'find' | 'replace'>): string {
  return JSON.stringify([file, find, replace])
}
