/** Switches for the differences between gateways in how requests are read and answers are written. */
export interface Dialect {
  /** Whether unknown JSON fields and query parameters are ignored rather than refused, or only one of the two kinds. */
  readonly ignoreUnknown: boolean | 'body' | 'query'
  /** Whether a query parameter for a field that path or body set is ignored rather than refused. */
  readonly boundParameters: 'refuse' | 'ignore'
  /** Whether `labels[color]=red` in the query sets the entry of a map, and an empty value a google.protobuf.Empty. */
  readonly mapParameters: boolean
  /** Whether `1`, `t`, `T`, `TRUE`, `yes` … are true in path and query, and their opposites false. */
  readonly booleans: 'strict' | 'any'
  /** Whether a form is read as the body, or as if it were the query. In the latter case a POST of a form also matches rules of GET. */
  readonly forms: 'body' | 'query'
  /** Whether a body of any type is read as JSON where a message is expected. */
  readonly contentTypes: 'strict' | 'any'
  /** Whether a body is ignored if the rule takes none. */
  readonly unexpectedBody: 'refuse' | 'ignore'
  /** Whether `grpc-metadata-*` headers that metadata cannot hold are dropped. */
  readonly invalidMetadata: 'refuse' | 'drop'
  /**
   * Which escapes are kept in the capture of a multi-segment variable: `%2F`, all reserved characters, or none in the part of `**`.
   * `first`: the path is decoded before routing, so that `%2F` separates segments.
   */
  readonly pathDecoding: 'slash' | 'reserved' | 'all' | 'first'
  /** Whether fields with their zero value are written, and whether unset fields are written as null. */
  readonly zeroValues: 'omit' | 'print' | 'print-unset'
  readonly fieldNames: 'json' | 'proto'
  readonly enums: 'name' | 'number'
  /** Default format of a server stream without `Accept`. `lines` is one message on each line, with the type application/json. */
  readonly streams: 'ndjson' | 'array' | 'lines'
  /** Whether each message of a stream is written as `{"result": …}`. */
  readonly streamResults: boolean
  /** Whether the backend's trailers become headers, or HTTP trailers for callers that send `TE: trailers`. */
  readonly trailers: 'headers' | 'trailers'
  /** The status for a path that exists, but not for the request's HTTP method. */
  readonly methodNotAllowed: '405' | '404' | '501'
}

/** Whether unknown JSON fields are ignored. */
export function ignoresUnknownFields({ignoreUnknown}: Pick<Dialect, 'ignoreUnknown'>): boolean {
  return ignoreUnknown === true || ignoreUnknown === 'body'
}

/** The default dialect. */
export const ownDialect: Dialect = {
  ignoreUnknown: false,
  boundParameters: 'refuse',
  mapParameters: false,
  booleans: 'strict',
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
