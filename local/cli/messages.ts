import {createReadStream} from 'node:fs'
import {JsonSplitter} from '../../src/transcoding/json/splitter.ts'

/** The most bytes of one message. */
const maxBytes = 64 * 1024 * 1024

/**
 * The JSON texts of messages, as they come: of `-` standard input, of `@file` a file, of any other text itself. Each may have several,
 * one after the other, a line each, or in an array.
 * @throws {Fault} INVALID_ARGUMENT for what is no JSON
 */
export async function* messagesOf(sources: readonly string[]): AsyncGenerator<string> {
  for (const source of sources) {
    const splitter = new JsonSplitter({maxBytes})
    if (source === '-') for await (const bytes of process.stdin) yield* splitter.push(bytes)
    else if (source.startsWith('@')) {
      for await (const bytes of createReadStream(source.slice(1))) yield* splitter.push(bytes)
    } else yield* splitter.push(Buffer.from(source))
    yield* splitter.end()
  }
}
