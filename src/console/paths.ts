/** What the page is made of, by its path. */
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

/** Where the page reads what it shows. */
export const schemaPath = '/console/schema.json'

/** The paths that are the page's alone. At `/` a rule with a wildcard has all callers but browsers. */
export const pagePaths: readonly string[] = [...Object.keys(files).filter((path) => path !== '/'), schemaPath]

/** The file of the page at `path`; undefined for what is none, and at `/` for callers that do not ask for HTML. */
export function pageFileAt(path: string, accept: string | undefined): PageFile | undefined {
  if (path === '/') return accept && /\btext\/html\b/i.test(accept) ? files['/'] : undefined
  return Object.hasOwn(files, path) ? files[path as keyof typeof files] : undefined
}
