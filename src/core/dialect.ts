/** How requests are read and answers are written where gateways differ: each is a switch of its own. */
export interface Dialect {
  /** Whether unknown JSON fields and query parameters are dropped rather than refused; or only those of one of the two. */
  readonly ignoreUnknown: boolean | 'body' | 'query'
  /** Whether a parameter of the query that path or body set is dropped rather than refused. */
  readonly boundParameters: 'refuse' | 'ignore'
  /** Whether `labels[color]=red` in the query sets the entry of a map, and an empty value a google.protobuf.Empty. */
  readonly mapParameters: boolean
  /** Whether a form is read as the body, or as if it stood in the query; then a POST of one finds rules of GET too. */
  readonly forms: 'body' | 'query'
  /** Whether a body of any type is read as JSON where a message is expected. */
  readonly contentTypes: 'strict' | 'any'
  /** Whether a body is dropped where the rule takes none. */
  readonly unexpectedBody: 'refuse' | 'ignore'
  /** Whether `grpc-metadata-*` headers that metadata cannot hold are dropped. */
  readonly invalidMetadata: 'refuse' | 'drop'
  /**
   * Which escapes stay as they are in what a variable of many segments captures: `%2F`, all reserved ones, or none. `first`: the
   * path is decoded before it is routed, so that `%2F` separates segments.
   */
  readonly pathDecoding: 'slash' | 'reserved' | 'all' | 'first'
  /** Whether fields are written that have their zero value; and as null those that are not set. */
  readonly zeroValues: 'omit' | 'print' | 'print-unset'
  readonly fieldNames: 'json' | 'proto'
  readonly enums: 'name' | 'number'
  /** The form of a server stream when `Accept` does not choose; `lines`: one message a line, called application/json. */
  readonly streams: 'ndjson' | 'array' | 'lines'
  /** Whether each message of a stream is written as `{"result": …}`. */
  readonly streamResults: boolean
  /** Where the backend's trailers go: into headers, or into trailers for those who ask for them. */
  readonly trailers: 'headers' | 'trailers'
  /** The status where a path has other methods than that of the request. */
  readonly methodNotAllowed: '405' | '404' | '501'
}

/** Whether fields of JSON that are unknown are dropped. */
export function ignoresUnknownFields({ignoreUnknown}: Pick<Dialect, 'ignoreUnknown'>): boolean {
  return ignoreUnknown === true || ignoreUnknown === 'body'
}

/** What holds unless something else is asked for. */
export const ownDialect: Dialect = {
  ignoreUnknown: false,
  boundParameters: 'refuse',
  mapParameters: false,
  forms: 'body',
  contentTypes: 'strict',
  unexpectedBody: 'refuse',
  invalidMetadata: 'refuse',
  pathDecoding: 'slash',
  zeroValues: 'omit',
  fieldNames: 'json',
  enums: 'name',
  streams: 'ndjson',
  streamResults: false,
  trailers: 'headers',
  methodNotAllowed: '405',
}
