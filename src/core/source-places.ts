import {readFileSync} from 'node:fs'
import {SourceMap} from 'node:module'
import {dirname, join} from 'node:path'

/** The end of a frame in a bundle that tools/bundle/bundle.ts has written. */
const inBundle = /^\.cjs:(\d+):(\d+)\)?$/
/** The folder of the bundle that contains this code; undefined when it runs from source. */
const bundles = typeof __dirname === 'string' ? __dirname : undefined
/** Limit for cached positions. */
const most = 1000

/** Limit for the lines of a stack that are mapped, counted from its end, because frames follow the message. */
const mostFrames = 100

const known = new Map<string, string>()
/** Source maps take 18 MB each, so weak references let the garbage collector free them. */
const maps = new Map<string, WeakRef<SourceMap>>()

/**
 * Maps the positions in `stack` from a bundle to the source. Only for the log. Node's own option does it for every stack, but reads
 * source maps at start, and whenever an error destroys a stream, which costs 30 ms.
 * @param folder where the bundles are
 */
export function inSource(stack: string, folder = bundles): string {
  if (folder === undefined || !stack.includes(folder)) return stack
  const lines = stack.split('\n')
  for (let at = Math.max(0, lines.length - mostFrames); at < lines.length; at++) {
    lines[at] = frameInSource(lines[at]!, folder)
  }
  return lines.join('\n')
}

/** Uses indexes rather than a pattern: a stack begins with the error's message, on which a pattern could take very long. */
function frameInSource(frame: string, folder: string): string {
  const end = frame.lastIndexOf('.cjs:')
  const [, line, column] = (end >= 0 && inBundle.exec(frame.slice(end))) || []
  if (line === undefined) return frame
  const start = Math.max(frame.lastIndexOf('(', end), frame.lastIndexOf(' ', end)) + 1
  if (!frame.startsWith(folder, start)) return frame
  const place = frame.slice(start).replace(/\)$/, '')
  const found = known.get(place) ?? find(frame.slice(start, end + '.cjs'.length), Number(line) - 1, Number(column) - 1)
  if (known.size < most) known.set(place, found ?? place)
  return found ? frame.replace(place, () => found) : frame
}

function find(file: string, line: number, column: number): string | undefined {
  try {
    const entry = mapOf(file).findEntry(line, column)
    if (!('originalSource' in entry)) return undefined
    return `${join(dirname(file), entry.originalSource)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
  } catch {
    // The line may be part of the message rather than a frame.
    return undefined
  }
}

function mapOf(file: string): SourceMap {
  const map = maps.get(file)?.deref() ?? new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')))
  maps.set(file, new WeakRef(map))
  return map
}
