import {type Exchange, sendJson} from './exchange.ts'
import type {ObjectMetadata} from './resource.ts'

/** A row of a listing: an object, or a prefix that stands for all objects that start with it. */
type Row = {readonly key: Buffer} & ({readonly item: ObjectMetadata} | {readonly prefix: string})

/** GET /b/{bucket}/o: names in the order of their UTF-8 bytes; `maxResults` counts objects and prefixes alike. */
export function listObjects(exchange: Exchange): void {
  const {query} = exchange.route
  const {page, nextPageToken} = pageOf(rowsOf(exchange), query)
  const prefixes = page.flatMap((row) => ('prefix' in row ? [row.prefix] : []))
  const items = page.flatMap((row) => ('item' in row ? [row.item] : []))
  sendJson(exchange, {
    kind: 'storage#objects',
    ...(nextPageToken && {nextPageToken}),
    ...(prefixes.length > 0 && {prefixes}),
    ...(items.length > 0 && {items}),
  })
}

/** GET /b. */
export function listBuckets(exchange: Exchange): void {
  const {query} = exchange.route
  const rows = exchange.store.buckets
    .filter(({metadata}) => metadata.name.startsWith(query.get('prefix') ?? ''))
    .map(({metadata}) => ({key: Buffer.from(metadata.name), metadata}))
  const {page, nextPageToken} = pageOf(rows, query)
  const items = page.map(({metadata}) => metadata)
  sendJson(exchange, {kind: 'storage#buckets', ...(nextPageToken && {nextPageToken}), ...(items.length > 0 && {items})})
}

function rowsOf({route, store}: Exchange): Row[] {
  const {query} = route
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter')
  const rows = new Map<string, Row>()
  for (const [name, versions] of store.bucket(route.bucket!).objects) {
    if (!name.startsWith(prefix)) continue
    for (const {metadata} of versions) {
      if (metadata.timeDeleted && query.get('versions') !== 'true') continue
      const end = delimiter ? name.indexOf(delimiter, prefix.length) : -1
      const row = end < 0 ? itemRow(metadata) : prefixRow(name.slice(0, end + delimiter!.length))
      rows.set(row.key.toString(), row)
    }
  }
  return [...rows.values()].sort((a, b) => Buffer.compare(a.key, b.key))
}

function itemRow(item: ObjectMetadata): Row {
  return {key: Buffer.from(`${item.name}\0${item.generation}`), item}
}

function prefixRow(prefix: string): Row {
  return {key: Buffer.from(prefix), prefix}
}

/** The rows after `pageToken`, which is the key of the last row of the page before. */
function pageOf<T extends {readonly key: Buffer}>(rows: T[], query: URLSearchParams) {
  const after = Buffer.from(query.get('pageToken') ?? '', 'base64')
  const left = after.length > 0 ? rows.filter(({key}) => Buffer.compare(key, after) > 0) : rows
  const page = left.slice(0, Math.min(1000, Number(query.get('maxResults')) || 1000))
  const nextPageToken = page.length < left.length ? page.at(-1)?.key.toString('base64') : undefined
  return {page, nextPageToken}
}
