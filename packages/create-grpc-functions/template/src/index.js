// The deployed entry point. It is JavaScript, because the buildpack checks its syntax as JavaScript; all other files are TypeScript.
import {createRequire} from 'node:module'
import {join} from 'node:path'
import {start} from 'grpc-functions/start'

const require = createRequire(import.meta.url)

/** Generated from proto/ by `npm run generate`. Each method is served by its google.api.http rule. */
const schema = join(import.meta.dirname, 'gen/descriptors.binpb')

// Each function by its name for the deploy. Only the code of the deployed function is loaded. `app` has all functions, and is what
// `npm start` serves.
start(import.meta.dirname, process.env, {
  greet: (runtime) => require('./functions/greet.ts').greet(runtime),
  health: (runtime) => require('grpc-functions/health').health(runtime),
  gateway: (runtime) => require('grpc-functions/gateway').gateway(runtime, {schema}),
  app: (runtime) => {
    /** @type {typeof import('grpc-functions')} */
    const {byPath, gateway, health} = require('grpc-functions')
    const {greet} = require('./functions/greet.ts')
    const routes = {'/greet': greet, '/health': health}
    return byPath(runtime, routes, (runtime, paths) => gateway(runtime, {schema, ...paths}))
  },
})
