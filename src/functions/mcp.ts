import {join} from 'node:path'
import type {Runtime} from '../clients/runtime.ts'
import {gateway} from '../gateway/gateway.ts'
import type {Handler} from '../http/scope.ts'

/** The schema, built from proto/. */
const schema = join(import.meta.dirname, '../gen/descriptors.binpb')

/** Serves the gateway's methods as tools of the Model Context Protocol, at `/` and `/mcp`, and nothing else. */
export function mcp(runtime: Runtime): Handler {
  return gateway(runtime, {schema, mcp: true, mcpPaths: ['/', '/mcp'], protocols: []})
}
