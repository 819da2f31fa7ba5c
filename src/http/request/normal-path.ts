/**
 * `path` with the escapes of unreserved characters decoded: letters, digits, `-`, `.`, `_` and `~` (RFC 3986
 * 6.2.2.2). Other escapes are kept, also malformed ones.
 */
export function normalPath(path: string): string {
  return path.includes('%') ? path.replace(escapedUnreserved, decodeURIComponent) : path
}

const escapedUnreserved = /%(?:2[de]|3\d|[46][1-9a-f]|[57][\da]|5f|7e)/gi
