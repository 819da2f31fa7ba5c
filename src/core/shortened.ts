/**
 * Shortens `text` for a message: its first `most` characters, followed by an ellipsis if there are more. Text of callers and backends
 * may have any length, answers and log lines may not.
 */
export function shortened(text: string, most = 200): string {
  if (text.length <= most) return text
  const last = text.charCodeAt(most - 1)
  const splitsPair = last >= 0xd800 && last <= 0xdbff
  return `${text.slice(0, splitsPair ? most - 1 : most)}…`
}

/** The first `items` whose sizes together do not exceed `room`. */
export function fitting<T>(items: readonly T[], room: number, sizeOf: (item: T) => number): T[] {
  let left = room
  return items.filter((item) => {
    const size = sizeOf(item)
    if (size > left) return false
    left -= size
    return true
  })
}
