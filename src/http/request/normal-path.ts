/**
 * `path` with the escapes decoded of what is the same without one: letters, digits, `-`, `.`, `_` and `~` (RFC 3986
 * 6.2.2.2). Any other escape stays as it came, malformed ones too.
 */
export function normalPath(path: string): string {
  return path.includes('%') ? path.replace(escapedUnreserved, decodeURIComponent) : path
}

const escapedUnreserved = /%(?:2[de]|3\d|[46][1-9a-f]|[57][\da]|5f|7e)/gi
