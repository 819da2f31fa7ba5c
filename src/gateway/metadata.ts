import {ConfigError, type GatewayConfig} from '../core/config.ts'
import {type MetadataOptions, mayBeSet} from '../transcoding/metadata.ts'

/**
 * Which of a caller's headers go to the backend.
 * @throws {ConfigError} for keys in GATEWAY_METADATA that no caller may set
 */
export function metadataOptions({authorization, metadata}: GatewayConfig): MetadataOptions {
  const refused = (metadata ?? []).filter((key) => !mayBeSet(key))
  if (refused.length === 0) return {authorization, keys: metadata && new Set(metadata)}
  throw new ConfigError(
    `GATEWAY_METADATA: no caller may set ${refused.map((key) => `"${key}"`).join(', ')}: expected keys that neither a front end, HTTP nor gRPC sets`,
  )
}
