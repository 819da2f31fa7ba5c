/**
 * `text` as a message quotes it: its first `most` characters and an ellipsis where there are more. Text of callers and
 * backends can be as long as they like, an answer and a log line cannot.
 */
export function shortened(text: string, most = 200): string {
  if (text.length <= most) return text
  const last = text.charCodeAt(most - 1)
  const splitsPair = last >= 0xd800 && last <= 0xdbff
  return `${text.slice(0, splitsPair ? most - 1 : most)}…`
}

/** Those of `items` that have room together, the first ones first; `sizeOf` says what each of them takes. */
export function fitting<T>(items: readonly T[], room: number, sizeOf: (item: T) => number): T[] {
  let left = room
  return items.filter((item) => {
    const size = sizeOf(item)
    if (size > left) return false
    left -= size
    return true
  })
}
