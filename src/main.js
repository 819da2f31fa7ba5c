/**
 * The deployed entry point. JavaScript, because a Node that is too old fails on TypeScript before any of our code runs, and
 * without a top-level await: the functions-framework looks into its registry as soon as this file is loaded.
 */
import './node-version.js'
import {existsSync} from 'node:fs'
import {createRequire} from 'node:module'

const build = '../dist/deployed.js'
/** Whether this runs under `npm start`, where an old build would hide edits. */
const isDevelopment = process.execArgv.includes('--conditions=grpc-functions-source')

createRequire(import.meta.url)(!isDevelopment && existsSync(new URL(build, import.meta.url)) ? build : './deployed.ts')
