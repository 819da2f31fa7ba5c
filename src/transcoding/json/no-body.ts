import {Fault} from '../../core/fault.ts'
import {isJson} from '../media.ts'

const maxBytes = 1024

/**
 * Reads the body of a request whose rule takes none, as its bytes arrive: generated clients send `{}`, and that says
 * nothing, as white space does (our decision).
 */
export class NoBody {
  readonly #rule: string
  readonly #json: boolean
  #size = 0
  /** What may come besides white space: `{`, then `}`, then nothing. */
  #expected: '{' | '}' | '' = '{'

  /** @param rule as a reader of the proto knows it, for the message */
  constructor(rule: string, contentType: string | undefined) {
    this.#rule = rule
    this.#json = isJson(contentType)
    if (!this.#json) this.#expected = ''
  }

  /** @throws {Fault} 400 as soon as a byte says something */
  push(bytes: Uint8Array): void {
    this.#size += bytes.length
    if (this.#size > maxBytes) this.#refuse()
    for (const byte of bytes) {
      if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) continue
      if (this.#expected === '' || byte !== this.#expected.charCodeAt(0)) this.#refuse()
      this.#expected = this.#expected === '{' ? '}' : ''
    }
  }

  /** @throws {Fault} 400 when the body says something */
  readAll(bytes: Uint8Array): void {
    this.push(bytes)
    this.end()
  }

  /** @throws {Fault} 400 for half of `{}` */
  end(): void {
    if (this.#expected === '}') this.#refuse()
  }

  #refuse(): never {
    throw Fault.invalid('body', `Cannot read a body: ${this.#rule} takes none`)
  }
}
