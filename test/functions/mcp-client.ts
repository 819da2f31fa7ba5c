import {Client, StreamableHTTPClientTransport} from '@modelcontextprotocol/client'

/** Versions of the protocol: with a handshake, and without one. */
export const eras = ['2025-11-25', '2026-07-28'] as const

/** The SDK's own client, connected to the server at `url`. */
export async function connectMcp(
  url: string,
  era: (typeof eras)[number] = '2026-07-28',
  headers: Readonly<Record<string, string>> = {},
) {
  const client = new Client(
    {name: 'test', version: '1'},
    era === '2025-11-25' ? {} : {versionNegotiation: {mode: {pin: era}}},
  )
  const requestInit = {headers: {...headers, connection: 'close'}}
  await client.connect(new StreamableHTTPClientTransport(new URL(url), {requestInit}))
  return Object.assign(client, {[Symbol.asyncDispose]: () => client.close()})
}
