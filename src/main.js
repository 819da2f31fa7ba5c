/**
 * The deployed entry point. It is JavaScript, because an old Node fails on TypeScript before any of our code runs, and it has no
 * top-level await, because the functions-framework reads its registry as soon as this file is loaded.
 */
import './node-version.js'
import {existsSync} from 'node:fs'
import {createRequire} from 'node:module'

const build = '../dist/deployed.js'
/** Whether this runs under `npm start`, where an old build would hide edits. */
const isDevelopment = process.execArgv.includes('--conditions=grpc-functions-source')

createRequire(import.meta.url)(!isDevelopment && existsSync(new URL(build, import.meta.url)) ? build : './deployed.ts')
