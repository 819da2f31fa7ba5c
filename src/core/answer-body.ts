/**
 * Reads the body of a server's answer whole.
 * @param server who answers, for the message of the error
 * @throws {Error} as soon as it has more than `maxBytes`, or what reading throws
 */
export async function answerBody(
  chunks: AsyncIterable<Buffer>,
  {maxBytes, server}: {maxBytes: number; server: string},
): Promise<string> {
  const read: Buffer[] = []
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.length
    if (size > maxBytes) throw new Error(`${server} answered more than ${maxBytes} bytes`)
    read.push(chunk)
  }
  return Buffer.concat(read).toString()
}
