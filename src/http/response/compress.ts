import {promisify} from 'node:util'
import {brotliCompress, constants, gzip} from 'node:zlib'
import Negotiator from 'negotiator'
import {codedEtag} from '../../core/coded-etag.ts'
import type {Scope} from '../scope.ts'
import {isStream, type Reply} from './reply.ts'

/** Minimum size of a body to be compressed, in bytes. */
const worthIt = 1024

const compressors = {
  br: (body: Uint8Array) => promisify(brotliCompress)(body, {params: {[constants.BROTLI_PARAM_QUALITY]: 4}}),
  gzip: (body: Uint8Array) => promisify(gzip)(body),
} as const

/** `reply` in brotli or gzip, if the caller accepts it and the body is whole JSON of at least 1 KiB. */
export async function compressed(scope: Pick<Scope, 'headers'>, reply: Reply): Promise<Reply> {
  const {body, headers = {}} = reply
  if (body === undefined || isStream(body) || Buffer.byteLength(body) < worthIt) return reply
  if (!String(headers['content-type']).startsWith('application/json')) return reply
  const plain = typeof body === 'string' ? Buffer.from(body) : body
  const vary = {...headers, vary: 'accept-encoding'}
  const encoding = new Negotiator(scope).encoding(['br', 'gzip', 'identity'])
  if (encoding !== 'br' && encoding !== 'gzip') return {...reply, headers: vary, body: plain}
  const {etag} = headers
  return {
    ...reply,
    headers: {
      ...vary,
      'content-encoding': encoding,
      ...(typeof etag === 'string' && {etag: codedEtag(etag, encoding)}),
    },
    body: await compressors[encoding](plain),
  }
}

/** `body` in gzip; undefined if that is hardly shorter. */
export async function gzipped(body: Uint8Array): Promise<Uint8Array | undefined> {
  return body.length < worthIt ? undefined : await compressors.gzip(body)
}
