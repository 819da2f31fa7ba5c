import type {IncomingMessage} from 'node:http'
import {answerBody} from '../core/answer-body.ts'

/** Limit for the answer of an issuer, in bytes. Real key sets have less than a tenth of it. */
const maxBytes = 256 * 1024

/**
 * Fetches the JSON at `url`. Redirects are not followed, because the operator trusts only the configured issuer.
 * @throws {Error} for any answer but 200 with JSON, or the signal's reason
 */
export async function getJson(url: URL, signal: AbortSignal): Promise<unknown> {
  const response = await responseOf(url, signal)
  try {
    if (response.statusCode !== 200) throw new Error(`${url.origin} answered ${response.statusCode}: expected 200`)
    return JSON.parse(await answerBody(response, {maxBytes, server: url.origin}))
  } finally {
    response.destroy()
  }
}

async function responseOf(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  // Loaded on first use: most instances never need it.
  const {request} = url.protocol === 'https:' ? await import('node:https') : await import('node:http')
  return await new Promise((resolve, reject) => {
    // No keep-alive: fetches are rare, and an idle connection would be dead when the instance wakes up.
    const sent = request(url, {agent: false, signal, headers: {accept: 'application/json'}})
    sent.once('response', resolve).once('error', reject).end()
  })
}
