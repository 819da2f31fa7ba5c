import {join} from 'node:path'
import type {Runtime} from '../clients/runtime.ts'
import * as library from '../gateway/gateway.ts'
import type {Handler} from '../http/scope.ts'

/** The schema, built from proto/. */
const schema = join(import.meta.dirname, '../gen/descriptors.binpb')

/** Serves any method of proto/, or of the descriptors in GATEWAY_DESCRIPTORS, by its google.api.http rules. */
export function gateway(runtime: Runtime, options: library.GatewayOptions = {}): Handler {
  return library.gateway(runtime, {schema, ...options})
}
