import {endWithNpm} from './parent.ts'

/** Calls `end` with SIGINT or SIGTERM each time this process is asked to end: by a signal, a closing terminal, or the end of npm. */
export function onEnd(end: (signal: 'SIGINT' | 'SIGTERM') => void): void {
  process.on('SIGINT', () => end('SIGINT'))
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end('SIGTERM'))
  endWithNpm(() => end('SIGTERM'))
}
