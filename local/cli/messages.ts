import {createReadStream} from 'node:fs'
import {JsonSplitter} from '../../src/transcoding/json/splitter.ts'

/** Limit for one message, in bytes. */
const maxBytes = 64 * 1024 * 1024

/**
 * The JSON texts of messages, while they arrive: `-` reads standard input, `@file` a file, any other text is JSON itself. Each source may
 * have several messages: one after the other, one on each line, or in an array.
 * @throws {Fault} INVALID_ARGUMENT for malformed JSON
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
