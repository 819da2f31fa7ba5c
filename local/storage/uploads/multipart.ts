import {StorageError} from '../error.ts'

const headLimit = 1024 * 1024
const blankLine = Buffer.from('\r\n\r\n')

/** The two parts of a multipart/related upload: the text of the first one, and the second one, which is still arriving. */
export interface Multipart {
  readonly metadata: string
  readonly contentType?: string
  readonly content: AsyncIterable<Buffer>
}

/** Reads `body` up to the second part's content, which has at most one chunk at a time in memory. */
export async function multipartOf(body: AsyncIterable<Buffer>, contentType: string): Promise<Multipart> {
  const [, quoted, bare] = /boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType) ?? []
  const delimiter = Buffer.from(`\r\n--${quoted ?? bare ?? ''}`)
  const chunks = body[Symbol.asyncIterator]()
  // The first delimiter has no line before it.
  let head = Buffer.from('\r\n')
  while (true) {
    const parts = headOf(head, delimiter)
    if (parts) return {...parts, content: contentOf(parts.rest, chunks, delimiter)}
    const {value, done} = await chunks.next()
    if (done || head.length > headLimit) throw new StorageError(400, 'Malformed multipart body.')
    head = Buffer.concat([head, value])
  }
}

function headOf(head: Buffer, delimiter: Buffer): {metadata: string; contentType?: string; rest: Buffer} | undefined {
  const json = head.indexOf(blankLine, head.indexOf(delimiter) + 1)
  const second = head.indexOf(delimiter, json)
  const content = head.indexOf(blankLine, second + 1)
  if (json < 0 || second < 0 || content < 0) return undefined
  const [, contentType] = /^content-type:\s*(.+?)\s*$/im.exec(head.toString('latin1', second, content)) ?? []
  return {
    metadata: head.toString('utf8', json + blankLine.length, second),
    contentType,
    rest: head.subarray(content + blankLine.length),
  }
}

/** The bytes before the next delimiter. Reads to the end of the body, and throws if there is no delimiter. */
async function* contentOf(first: Buffer, chunks: AsyncIterator<Buffer>, delimiter: Buffer): AsyncGenerator<Buffer> {
  let rest = first
  while (true) {
    const end = rest.indexOf(delimiter)
    if (end >= 0) {
      yield rest.subarray(0, end)
      return drain(chunks)
    }
    // The delimiter may have begun in the last bytes.
    const safe = Math.max(0, rest.length - delimiter.length + 1)
    yield rest.subarray(0, safe)
    const {value, done} = await chunks.next()
    if (done) throw new StorageError(400, 'Malformed multipart body.')
    rest = Buffer.concat([rest.subarray(safe), value])
  }
}

async function drain(chunks: AsyncIterator<Buffer>): Promise<void> {
  while (!(await chunks.next()).done);
}
