import test from 'ava'
import {resourcePath, resourceTemplatesOf} from '../../src/transcoding/mcp/resources.ts'
import {toolsOf} from '../../src/transcoding/mcp/tools.ts'
import {registry, transcode} from './schema.ts'

test('a tool without a comment says what it calls, and its schemas have only formats that validators know', (t) => {
  const {method} = registry.getService('every.EveryService')!
  const [tool] = toolsOf([{name: 'get', method: method.get!}], registry, {refusesUnknown: true})
  t.is(tool?.description, 'Calls every.EveryService/Get.')
  const formats = JSON.stringify([tool?.inputSchema, tool?.outputSchema]).match(/"format":"[^"]*"/g)
  t.deepEqual([...new Set(formats)], ['"format":"date-time"'])
})

test('the result of a stream is a list, and a deprecated method says so', (t) => {
  const method = registry.getService('every.EveryService')!.method.get!
  const stream = {...method, methodKind: 'server_streaming', deprecated: true} as typeof method
  const [tool] = toolsOf([{name: 'get', method: stream}], registry, {refusesUnknown: true})
  t.deepEqual(tool?.outputSchema.properties?.messages, {type: 'array', items: {$ref: '#/$defs/every.Every'}})
  t.regex(tool?.description ?? '', /sent one by one as progress.*\n\nDeprecated\.$/s)
})

test('a GET with a name in its path is a resource, one without is none, nor is a stream', (t) => {
  const {bindings} = transcode([
    {get: '/a'},
    {get: '/b/{name}'},
    {post: '/c/{name}'},
    {get: '/d/{name=**}'},
    {get: '/e/{name}', output: 'google.api.HttpBody'},
    {get: '/f/{name}'},
  ])
  // A stream may have no end, and a resource is one answer.
  Object.assign(bindings.at(-1)!.method, {methodKind: 'server_streaming'})
  t.deepEqual(
    resourceTemplatesOf(bindings).map(({uriTemplate, mimeType}) => [uriTemplate, mimeType]),
    [
      ['api:///b/{name}', 'application/json'],
      ['api:///e/{name}', undefined],
      ['api:///d/{+name}', 'application/json'],
    ],
  )
})

test('the URI of a resource is a path, without a query', (t) => {
  t.is(resourcePath('api:///v1/a%3Fb'), '/v1/a%3Fb')
  for (const uri of ['api:///a?b', 'api:///a#b', 'api://a', 'https://a/b', '/a'])
    t.is(resourcePath(uri), undefined, uri)
})
