/** What an etag ends in where the body is compressed: with it, it is that of other bytes (RFC 9110 8.8.3.3). */
const coded = /--(?:br|gzip)(?="$)/

/** The strong etag `etag` for a body in `encoding`; a weak one holds for both. */
export function codedEtag(etag: string, encoding: 'br' | 'gzip'): string {
  return etag.startsWith('"') ? `${etag.slice(0, -1)}--${encoding}"` : etag
}

/** The etag of the resource that the etag of a body, compressed or not, is of. */
export function resourceEtag(etag: string): string {
  return etag.replace(coded, '')
}
