import {once} from 'node:events'
import {createServer, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'
import test from 'ava'
import {IdTokenSource} from '../../src/clients/identity/id-tokens.ts'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {faultOf, reasonOf, TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'

/** Takes the place of the metadata server. */
const server = createServer((_request, response) => respond(response)).listen(0, '127.0.0.1')
await once(server, 'listening')
const {port} = server.address() as AddressInfo
let respond: (response: ServerResponse) => void

const {credentials} = runtimeOf({GCE_METADATA_HOST: `127.0.0.1:${port}`, GOOGLE_CLOUD_PROJECT: 'p'})

test.after.always(() => {
  server.close()
  server.closeAllConnections()
})

const flavor = {'metadata-flavor': 'Google'}
const jwt = (claims: unknown) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.e30`
const good = jwt({exp: Math.floor(Date.now() / 1000) + 3600})

const answers: Record<string, (response: ServerResponse) => void> = {
  'from somebody who is no metadata server': (response) => response.end(good),
  'that is a web page': (response) => response.writeHead(200, flavor).end('<html>captive portal</html>'),
  'that is empty': (response) => response.writeHead(200, flavor).end(),
  'without an expiry': (response) => response.writeHead(200, flavor).end(jwt({aud: 'x'})),
  'with an expiry that is no number': (response) => response.writeHead(200, flavor).end(jwt({exp: 'tomorrow'})),
  'whose claims are no object': (response) => response.writeHead(200, flavor).end(jwt(null)),
  'that is no token at all': (response) => response.writeHead(200, flavor).end('a.b.c'),
  'that could end a header': (response) => response.writeHead(200, flavor).end(`${good}\r\nx-evil: 1`),
  'with a redirect': (response) => response.writeHead(302, {...flavor, location: `http://127.0.0.1:${port}/`}).end(),
  'that is cut': (response) => {
    response.writeHead(200, {...flavor, 'content-length': 1000}).write(good)
    response.destroy()
  },
  'that is endless': (response) => {
    response.writeHead(200, flavor)
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(64 * 1024, 'a')));
      if (!response.destroyed) response.once('drain', more)
    }
    more()
  },
  'that never came': (response) => response.destroy(),
}

for (const [title, answer] of Object.entries(answers)) {
  test.serial(`an answer ${title} is UNAVAILABLE, and is not kept`, async (t) => {
    const life = new TestLife()
    const source = new IdTokenSource('https://ping.a.run.app', credentials)
    respond = answer
    const fault = await faultOf(t, source.token(life))
    t.is(fault.code, 'UNAVAILABLE')
    t.is(httpStatusOf(fault), 503)
    t.is(fault.message, 'Cannot get an ID token for the backend')
    t.is(reasonOf(fault), 'ID_TOKEN_UNAVAILABLE')
    respond = (response) => response.writeHead(200, flavor).end(good)
    t.is(await source.token(life), good)
    await life.quiet(t)
  })
}

test.serial('the connection of an endless answer that does not come from a metadata server is closed', async (t) => {
  const closed = Promise.withResolvers<void>()
  respond = (response) => {
    response.once('close', closed.resolve)
    response.write(good)
  }
  await faultOf(t, new IdTokenSource('https://ping.a.run.app', credentials).token(new TestLife()))
  await t.notThrowsAsync(closed.promise)
})

test.serial('a token with a line break at its end is taken without it', async (t) => {
  respond = (response) => response.writeHead(200, flavor).end(`${good}\n`)
  t.is(await new IdTokenSource('https://ping.a.run.app', credentials).token(new TestLife()), good)
})

test.serial('a connection that breaks for a moment fails nobody', async (t) => {
  for (const breakOff of [answers['that is cut']!, answers['that never came']!]) {
    respond = (response) => {
      breakOff(response)
      respond = (response) => response.writeHead(200, flavor).end(good)
    }
    t.is(await new IdTokenSource('https://ping.a.run.app', credentials).token(new TestLife()), good)
  }
})

test.serial('an answer that has no end is not read to its end', async (t) => {
  let written = 0
  respond = (response) => {
    answers['that is endless']!(response)
    response.once('close', () => {
      written = response.socket?.bytesWritten ?? 0
    })
  }
  const closed = new Promise<void>((resolve) =>
    server.once('request', (_, response) => response.once('close', resolve)),
  )
  await faultOf(t, new IdTokenSource('https://ping.a.run.app', credentials).token(new TestLife()))
  await closed
  t.true(written < 32 * 1024 * 1024)
})
