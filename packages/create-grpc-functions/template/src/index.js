// The deployed entry point. JavaScript, because the buildpack checks the syntax of this file as such; all others are TypeScript.
import {createRequire} from 'node:module'
import {join} from 'node:path'
import {start} from 'grpc-functions/start'

const require = createRequire(import.meta.url)

/** `npm run generate` makes it from proto/: each method is served as its google.api.http rule says. */
const schema = join(import.meta.dirname, 'gen/descriptors.binpb')

// Each function by the name that it is deployed by. Its code is loaded only where it is the one that runs; `app` is all of
// them at once, which `npm start` serves.
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
