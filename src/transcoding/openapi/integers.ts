/**
 * The source of a pattern for the integers from `min` to `max` as proto3 JSON writes them: digits without leading zeros. JSON Schema
 * has no other way to give the range of a number in a string. `min` must be 0, `-max` or `-max - 1`.
 */
export function integerPattern(min: bigint, max: bigint): string {
  if (min === 0n) return `(?:0|${upTo(max)})`
  // Two's complement has one more below zero than above.
  return `(?:0|-?(?:${upTo(max)})${min === -max ? '' : `|${min}`})`
}

/** From 1 to `max`. */
function upTo(max: bigint): string {
  const digits = max.toString()
  const shorter = digits.length > 1 ? `[1-9][0-9]{0,${digits.length - 2}}|` : ''
  return shorter + asLong(digits, 1)
}

/** Numbers of as many digits as `digits`, up to its value, whose first digit is at least `least`. */
function asLong(digits: string, least: number): string {
  const first = Number(digits[0])
  const rest = digits.slice(1)
  if (rest === '') return range(least, first)
  const below = first > least ? `${range(least, first - 1)}[0-9]{${rest.length}}|` : ''
  return `${below}${first}(?:${asLong(rest, 0)})`
}

function range(from: number, to: number): string {
  return from === to ? `${from}` : `[${from}-${to}]`
}
