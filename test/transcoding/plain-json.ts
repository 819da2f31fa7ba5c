import {exactInteger, maxNesting} from '../../src/transcoding/json/text.ts'

/** Parsed JSON, and the number of values in it, including itself. */
export interface PlainJson {
  readonly value: unknown
  readonly count: number
}

/**
 * Parses JSON like parseJson(), one character after the other (RFC 8259): slow, but obviously right.
 * @throws {SyntaxError} for everything that parseJson() refuses, except for the number of values
 */
export function plainJson(text: string): PlainJson {
  const reader = new Reader(text)
  const value = reader.value(0)
  reader.space()
  if (reader.at < text.length) throw new SyntaxError('something follows')
  return {value, count: reader.count}
}

const words = {true: true, false: false, null: null} as const

class Reader {
  readonly #text: string
  at = 0
  count = 0

  constructor(text: string) {
    this.#text = text
  }

  space(): void {
    while (' \t\r\n'.includes(this.#text[this.at] ?? '-')) this.at++
  }

  value(depth: number): unknown {
    this.space()
    this.count++
    const char = this.#text[this.at]
    if (char === '{' || char === '[') {
      if (depth === maxNesting) throw new SyntaxError('too deep')
      return char === '{' ? this.#object(depth + 1) : this.#array(depth + 1)
    }
    if (char === '"') return this.#string()
    const word = this.#matched(/true|false|null/y, (found) => found)
    return word === undefined ? this.#number() : words[word as keyof typeof words]
  }

  #object(depth: number): object {
    const entries = new Map<string, unknown>()
    this.#list('}', () => {
      this.space()
      const key = this.#string()
      if (entries.has(key)) throw new SyntaxError('twice')
      this.space()
      this.#expect(':')
      entries.set(key, this.value(depth))
    })
    return Object.fromEntries(entries)
  }

  #array(depth: number): unknown[] {
    const items: unknown[] = []
    this.#list(']', () => items.push(this.value(depth)))
    return items
  }

  #list(end: string, item: () => void): void {
    this.at++
    this.space()
    if (this.#text[this.at] !== end) {
      item()
      for (this.space(); this.#text[this.at] === ','; this.space()) {
        this.at++
        item()
      }
    }
    this.#expect(end)
  }

  #string(): string {
    let string = ''
    this.#expect('"')
    for (;;) {
      const char = this.#text[this.at++]
      if (char === undefined || char < ' ') throw new SyntaxError('no string')
      if (char === '"') return string
      string += char === '\\' ? this.#escaped() : char
    }
  }

  #escaped(): string {
    const char = this.#text[this.at++] ?? ''
    const plain = {'"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t'}[char]
    if (plain !== undefined) return plain
    const hex = char === 'u' ? this.#text.slice(this.at, this.at + 4) : ''
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) throw new SyntaxError('no escape')
    this.at += 4
    return String.fromCharCode(Number.parseInt(hex, 16))
  }

  #number(): number | bigint {
    const read = (digits: string) => {
      const number = Number(digits)
      return Math.abs(number) > Number.MAX_SAFE_INTEGER ? (exactInteger(digits) ?? number) : number
    }
    const number = this.#matched(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y, read)
    if (number === undefined) throw new SyntaxError('no value')
    return number
  }

  #matched<T>(pattern: RegExp, read: (text: string) => T): T | undefined {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.#text)
    if (!found) return undefined
    this.at = pattern.lastIndex
    return read(found[0])
  }

  #expect(char: string): void {
    if (this.#text[this.at++] !== char) throw new SyntaxError(`no ${char}`)
  }
}
