import test from 'ava'
import {resourceTemplatesOf} from '../../src/transcoding/mcp/resources.ts'
import {toolsOf} from '../../src/transcoding/mcp/tools.ts'
import {registry, transcode} from './schema.ts'

test('a tool without a comment says what it calls, and its schemas have only formats that validators know', (t) => {
  const {method} = registry.getService('every.EveryService')!
  const [tool] = toolsOf([{name: 'get', method: method.get!}], registry, {refusesUnknown: true})
  t.is(tool?.description, 'Calls every.EveryService/Get.')
  const formats = JSON.stringify([tool?.inputSchema, tool?.outputSchema]).match(/"format":"[^"]*"/g)
  t.deepEqual([...new Set(formats)], ['"format":"date-time"'])
})

test('a GET with a name in its path is a resource, one without is none', (t) => {
  const {bindings} = transcode([{get: '/a'}, {get: '/b/{name}'}, {post: '/c/{name}'}, {get: '/d/{name=**}'}])
  t.deepEqual(
    resourceTemplatesOf(bindings).map(({uriTemplate}) => uriTemplate),
    ['api:///b/{name}', 'api:///d/{+name}'],
  )
})
