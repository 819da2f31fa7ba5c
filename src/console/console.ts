import {readFileSync} from 'node:fs'
import {extname, join} from 'node:path'
import type {Reply} from '../http/response/reply.ts'
import type {PageFile} from './paths.ts'

const folder = join(import.meta.dirname, 'page')

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.js': 'text/javascript; charset=utf-8',
}

/**
 * The page's Content-Security-Policy. Only our own files are run and shown, and no other site can frame the page. Files that are too
 * large for a request are sent to `storage`. `blob:` is for images in answers. Text of protos and backends is only shown as text: the
 * page makes no HTML from strings, and a browser that supports Trusted Types would refuse it.
 */
const policyWith = (storage: string | undefined) =>
  [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `connect-src 'self'${storage ? ` ${storage}` : ''}`,
    "img-src 'self' blob:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')

const contents = new Map<PageFile, Buffer>()

/**
 * One file of the page, read on first use.
 * @param storage the origin of Storage, if the page may send files there
 */
export function pageFile(file: PageFile, storage?: string): Reply {
  let body = contents.get(file)
  if (!body) {
    body = readFileSync(join(folder, file))
    contents.set(file, body)
  }
  const headers = {
    'content-type': types[extname(file)]!,
    'cache-control': 'no-cache',
    'referrer-policy': 'no-referrer',
    ...(file.endsWith('.html') && {'content-security-policy': policyWith(storage), vary: 'accept'}),
  }
  return {headers, body}
}
