import {readFileSync} from 'node:fs'
import {SourceMap} from 'node:module'
import {dirname, join} from 'node:path'

/** A place in a bundle that tools/bundle/bundle.ts has written, as stacks name it. */
const place = /([^\s()]+\.cjs):(\d+):(\d+)/g
/** How many places are kept. */
const most = 1000

const known = new Map<string, string>()
/** Each is 18 MB: dropped when memory is short. */
const maps = new Map<string, WeakRef<SourceMap>>()

/**
 * `stack` with places in the source rather than in a bundle. For the log alone: Node has a way to do it for every stack, but
 * reads source maps at start, and whenever a stream is destroyed by an error, which costs 30 ms.
 */
export function inSource(stack: string): string {
  return stack.replace(place, (text, file: string, line: string, column: string) => {
    const found = known.get(text) ?? find(text, file, Number(line) - 1, Number(column) - 1)
    if (known.size < most) known.set(text, found)
    return found
  })
}

function find(text: string, file: string, line: number, column: number): string {
  try {
    const entry = mapOf(file).findEntry(line, column)
    if (!('originalSource' in entry)) return text
    return `${join(dirname(file), entry.originalSource)}:${entry.originalLine + 1}:${entry.originalColumn + 1}`
  } catch {
    // Another one's file.
    return text
  }
}

function mapOf(file: string): SourceMap {
  const map = maps.get(file)?.deref() ?? new SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')))
  maps.set(file, new WeakRef(map))
  return map
}
