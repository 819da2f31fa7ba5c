import {type App, startApp} from '../../test/helpers/app.ts'
import {descriptors, services} from '../services.ts'

/** The functions and the local stack as in `npm start`, with the samples. */
export function startSamples(target = 'app'): Promise<App> {
  return startApp({target, backend: {services}, env: {GATEWAY_DESCRIPTORS: descriptors}})
}
