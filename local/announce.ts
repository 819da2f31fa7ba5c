import {closeSync, writeSync} from 'node:fs'

const pipe = 3

/** Tells the process that started this one on which port it listens, in a line on file descriptor 3. */
export function announce(port: number): void {
  writeSync(pipe, `${port}\n`)
  closeSync(pipe)
}

/** Ends this process with the one that started it, however that ends: it holds the other end of stdin. */
export function endWithStarter(): void {
  process.stdin.once('end', () => process.kill(process.pid, 'SIGKILL')).resume()
}
