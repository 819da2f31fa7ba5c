// Data that only the local stack of npm start has: log lines of a request, objects of Storage, and tokens. Deployed functions have none
// of it, so the page asks for it only on the developer's machine.

/**
 * @typedef {object} Local
 * @property {boolean} tokens whether it issues tokens that the functions accept
 * @property {readonly {bucket: string, object: string, size: number}[]} objects in its Storage
 */

const isThisMachine = /^(?:(?:[\w-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(location.hostname)

/** @type {Promise<Local | undefined> | undefined} */
let asked

/** The local stack; undefined if there is none. */
export function local() {
  asked ??= isThisMachine ? read('local') : Promise.resolve(undefined)
  return asked
}

/**
 * The log lines of a request, once its record is written; undefined without a local stack.
 * @param {string} requestId
 * @returns {Promise<readonly string[] | undefined>}
 */
export async function logLines(requestId) {
  if (!(await local())) return undefined
  const found = await read(`local/logs?id=${encodeURIComponent(requestId)}`)
  return found?.lines
}

/** @returns {Promise<{token?: string, audience?: string, problem: string}>} */
export async function mintToken() {
  const problem = 'The local stack issues no tokens: start it with AUTH=jwt npm start'
  return {problem, ...(await read('local/token'))}
}

/** @param {string} path */
async function read(path) {
  try {
    const response = await fetch(new URL(`console/${path}`, document.baseURI))
    return response.ok ? await response.json() : undefined
  } catch {
    return undefined
  }
}
