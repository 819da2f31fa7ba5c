import createClient from 'openapi-fetch'
import type {paths} from './api.ts'

// Compiled and run by ../openapi-client.ts, in a folder where api.ts is the generated client.

declare const process: {readonly argv: readonly string[]}

const client = createClient<paths>({baseUrl: process.argv[2]!})

const got = await client.GET('/api/ping', {params: {query: {message: 'hi'}}})
const posted = await client.POST('/api/ping', {body: {message: 'hi'}})
const upstream = await client.GET('/api/ping:upstream', {params: {query: {message: 'hi'}}})
for (const {data, error} of [got, posted, upstream]) {
  if (data?.pong?.message !== 'hi') throw new Error(`expected a pong: ${JSON.stringify(error ?? data)}`)
}

const created = await client.POST('/api/repos', {
  body: [{context: {creatorId: 'me', name: 'lines'}}, {data: 'aGVsbG8='}],
})
if (!created.data) throw new Error(`expected a repo: ${JSON.stringify(created.error)}`)

const failed = await client.GET('/api/ping', {params: {query: {message: 'hi', ...{nope: 1}}}})
if (failed.error?.error?.status !== 'INVALID_ARGUMENT') throw new Error('expected a failure with a status')
console.log('each operation compiles, and is answered')
