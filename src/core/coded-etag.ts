/** The suffix of an etag for a compressed body, whose etag must differ because its bytes do (RFC 9110 8.8.3.3). */
const coded = /--(?:br|gzip)(?="$)/

/** The etag for a body in `encoding`, from the strong etag `etag`. A weak etag is unchanged, because it covers both forms. */
export function codedEtag(etag: string, encoding: 'br' | 'gzip'): string {
  return etag.startsWith('"') ? `${etag.slice(0, -1)}--${encoding}"` : etag
}

/** The resource's etag, from the etag of a body that may be compressed. */
export function resourceEtag(etag: string): string {
  return etag.replace(coded, '')
}
