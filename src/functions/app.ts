import {Fault} from '../fault.ts'
import type {Handler} from '../http/scope.ts'
import {health} from './health.ts'
import {ping} from './ping.ts'
import {upload} from './upload.ts'

const routes: Readonly<Record<string, Handler>> = {
  '/ping': ping,
  '/upload': upload,
  '/health': health,
}

/** All functions behind one entry point. */
export const app: Handler = (scope) => {
  const route = Object.hasOwn(routes, scope.path) ? routes[scope.path] : undefined
  if (route) return route(scope)
  throw new Fault('NOT_FOUND', `There is nothing at ${scope.path}: there is ${Object.keys(routes).join(', ')}`, {
    reason: 'NO_SUCH_PATH',
  })
}
