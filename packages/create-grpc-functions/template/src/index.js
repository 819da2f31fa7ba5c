// The deployed entry point. JavaScript, because the buildpack checks the syntax of this file as such; all others are TypeScript.
import {join} from 'node:path'
import {byPath, run} from 'grpc-functions'
import {gateway} from 'grpc-functions/gateway'
import {health} from 'grpc-functions/health'
import {greet} from './functions/greet.ts'

/** What `npm run generate` makes of proto/: each method is served as its google.api.http rule says. */
const schema = join(import.meta.dirname, 'gen/descriptors.binpb')

// Each function by the name that it is deployed by; `app` is all of them at once, which `npm start` serves.
run(process.env, {
  greet,
  health,
  gateway: (runtime) => gateway(runtime, {schema}),
  app: (runtime) =>
    byPath(runtime, {'/greet': greet, '/health': health}, (runtime, paths) => gateway(runtime, {schema, ...paths})),
})
