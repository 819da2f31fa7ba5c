// What only the local stack of npm start can tell: the log lines of a request, its objects, and a token for it. Deployed
// functions have none of it, so the page asks on the developer's own machine alone.

/**
 * @typedef {object} Local
 * @property {boolean} tokens whether it gives tokens that the functions take
 * @property {readonly {bucket: string, object: string, size: number}[]} objects in its Storage
 */

const isThisMachine = /^(?:(?:[\w-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(location.hostname)

/** @type {Promise<Local | undefined> | undefined} */
let asked

/** The local stack, where there is one. */
export function local() {
  asked ??= isThisMachine ? read('local') : Promise.resolve(undefined)
  return asked
}

/**
 * The log lines of a request, once its record is written; undefined where nobody keeps them.
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
  const problem = 'The local stack gives no token: start it with AUTH=jwt npm start'
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
