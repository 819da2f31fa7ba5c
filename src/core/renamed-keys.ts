/** The first character of the names, from Unicode's private use area. */
const mark = '\ue000'

/**
 * Keys that JSON.parse would misread, and names that replace them while it parses a text. In Node 24 it can mistake a key with an
 * escape for a key of an earlier text, also of another caller: after `{"a":1,"\\":2}`, it reads `{"a":1,"\n":2}` with the key `\`.
 * @see https://github.com/nodejs/node/issues/63785
 */
export class RenamedKeys {
  readonly #keys: string[] = []
  readonly #pieces: string[] = []
  #end = 0

  /** @param written a key as written between its quotes */
  static isNeeded(written: string): boolean {
    return written.includes('\\') || written.startsWith(mark)
  }

  /** The keys that need a name in a text of valid JSON; undefined for none. In other texts the search takes quadratic time. */
  static of(text: string): RenamedKeys | undefined {
    let renamed: RenamedKeys | undefined
    for (const {1: written = '', 2: colon, index} of text.matchAll(/"((?:[^"\\]|\\.)*)"(\s*:)?/g)) {
      if (colon === undefined || !RenamedKeys.isNeeded(written)) continue
      renamed ??= new RenamedKeys()
      renamed.add(JSON.parse(`"${written}"`), {text, start: index + 1, end: index + 1 + written.length})
    }
    return renamed
  }

  /** Adds the key from `start` to `end` of `text`, which must be after all keys added before. */
  add(key: string, {text, start, end}: {readonly text: string; readonly start: number; readonly end: number}): void {
    this.#pieces.push(text.slice(this.#end, start), `${mark}${this.#keys.length}`)
    this.#keys.push(key)
    this.#end = end
  }

  /** `text` with the keys replaced by their names. */
  in(text: string): string {
    return this.#pieces.join('') + text.slice(this.#end)
  }

  /** For a reviver: a copy of an object with the original keys; other values unchanged. */
  restored(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).map(([name, value]) => [this.#keyOf(name), value]))
  }

  #keyOf(name: string): string {
    return name.startsWith(mark) ? this.#keys[Number(name.slice(mark.length))]! : name
  }
}
