import {endWithNpm} from './parent.ts'

/** Calls `end` with SIGINT or SIGTERM as often as this process is told to end: by a signal, a terminal that closes, or npm's end. */
export function onEnd(end: (signal: 'SIGINT' | 'SIGTERM') => void): void {
  process.on('SIGINT', () => end('SIGINT'))
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end('SIGTERM'))
  endWithNpm(() => end('SIGTERM'))
}
