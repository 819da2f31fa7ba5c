/** The files of the page, by path. */
const files = {
  '/': 'index.html',
  '/console/icon.svg': 'icon.svg',
  '/console/page.css': 'page.css',
  '/console/page.js': 'page.js',
  '/console/answer.js': 'answer.js',
  '/console/call.js': 'call.js',
  '/console/dom.js': 'dom.js',
  '/console/fields.js': 'fields.js',
  '/console/functions.js': 'functions.js',
  '/console/json.js': 'json.js',
  '/console/live.js': 'live.js',
  '/console/local.js': 'local.js',
  '/console/method.js': 'method.js',
  '/console/request.js': 'request.js',
  '/console/scalars.js': 'scalars.js',
  '/console/session.js': 'session.js',
  '/console/token.js': 'token.js',
  '/console/types.js': 'types.js',
  '/console/upload.js': 'upload.js',
} as const satisfies Record<string, string>

export type PageFile = (typeof files)[keyof typeof files]

/** The path of the page's data. */
export const schemaPath = '/console/schema.json'

/** The paths that only the page has. At `/`, browsers get the page, and other callers a rule with a wildcard, if there is one. */
export const pagePaths: readonly string[] = [...Object.keys(files).filter((path) => path !== '/'), schemaPath]

/** The file of the page at `path`; undefined for other paths, and at `/` for callers that do not accept HTML. */
export function pageFileAt(path: string, accept: string | undefined): PageFile | undefined {
  if (path === '/') return accept && /\btext\/html\b/i.test(accept) ? files['/'] : undefined
  return Object.hasOwn(files, path) ? files[path as keyof typeof files] : undefined
}
