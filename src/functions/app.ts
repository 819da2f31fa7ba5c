import type {Handler, Scope} from '../http/scope.ts'
import {gateway, leavePaths} from './gateway.ts'
import {health} from './health.ts'
import {ping} from './ping.ts'
import {upload} from './upload.ts'

const routes: Readonly<Record<string, Handler>> = {
  '/ping': ping,
  '/upload': upload,
  '/health': health,
}

leavePaths(Object.keys(routes))

/** All functions behind one entry point: the gateway has every path that no other one has. */
export const app: Handler = (scope) => functionAt(scope)(scope)
app.choose = functionAt

function functionAt({path}: Scope): Handler {
  return (Object.hasOwn(routes, path) ? routes[path] : undefined) ?? gateway
}
