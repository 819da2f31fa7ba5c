import {Fault} from '../../core/fault.ts'
import {isJson} from '../media.ts'

const maxBytes = 1024

/**
 * Checks the body of a request whose rule takes none, while it arrives. Generated clients send `{}`, so `{}` and white space are
 * accepted (our decision).
 */
export class NoBody {
  readonly #rule: string
  readonly #json: boolean
  #size = 0
  /** The next byte that is accepted besides white space: `{`, then `}`, then none. */
  #expected: '{' | '}' | '' = '{'

  /** @param rule the rule as the proto writes it, for the error message */
  constructor(rule: string, contentType: string | undefined) {
    this.#rule = rule
    this.#json = isJson(contentType)
    if (!this.#json) this.#expected = ''
  }

  /** @throws {Fault} 400 at the first other byte */
  push(bytes: Uint8Array): void {
    this.#size += bytes.length
    if (this.#size > maxBytes) this.#refuse()
    for (const byte of bytes) {
      if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) continue
      if (this.#expected === '' || byte !== this.#expected.charCodeAt(0)) this.#refuse()
      this.#expected = this.#expected === '{' ? '}' : ''
    }
  }

  /** @throws {Fault} 400 unless the body is `{}` or white space */
  readAll(bytes: Uint8Array): void {
    this.push(bytes)
    this.end()
  }

  /** @throws {Fault} 400 when `{` was not closed */
  end(): void {
    if (this.#expected === '}') this.#refuse()
  }

  #refuse(): never {
    throw Fault.invalid('body', `Cannot read a body: ${this.#rule} takes none`)
  }
}
