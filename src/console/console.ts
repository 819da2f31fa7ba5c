import {readFileSync} from 'node:fs'
import {extname, join} from 'node:path'
import type {Reply} from '../http/reply.ts'
import type {PageFile} from './paths.ts'

const folder = join(import.meta.dirname, 'page')

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.js': 'text/javascript; charset=utf-8',
}

/**
 * Nothing but our own files runs or is shown, and nobody frames the page. `blob:` is for images among answers. Texts of
 * protos and backends are shown as text alone: the page makes no HTML of strings, and a browser that knows Trusted Types would refuse it.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const contents = new Map<PageFile, Buffer>()

/** One file of the page: read when first asked for. */
export function pageFile(file: PageFile): Reply {
  let body = contents.get(file)
  if (!body) {
    body = readFileSync(join(folder, file))
    contents.set(file, body)
  }
  const headers = {
    'content-type': types[extname(file)]!,
    'cache-control': 'no-cache',
    'referrer-policy': 'no-referrer',
    ...(file.endsWith('.html') && {'content-security-policy': policy, vary: 'accept'}),
  }
  return {headers, body}
}
