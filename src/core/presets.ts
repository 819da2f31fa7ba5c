import {type Env, read, type SettingName} from './settings.ts'

/** The behaviour of other gateways: the value of each switch that differs from our default. */
export const presets = {
  // protoc-gen-grpc-gateway 2 with the default options of its mux.
  'grpc-gateway': {
    GATEWAY_ERRORS: 'status',
    GATEWAY_IGNORE_UNKNOWN: 'true',
    GATEWAY_BOUND_PARAMETERS: 'ignore',
    GATEWAY_MAP_PARAMETERS: 'true',
    GATEWAY_BOOLEANS: 'any',
    GATEWAY_FORMS: 'query',
    GATEWAY_CONTENT_TYPES: 'any',
    GATEWAY_UNEXPECTED_BODY: 'ignore',
    GATEWAY_INVALID_METADATA: 'drop',
    GATEWAY_PATH_DECODING: 'first',
    GATEWAY_ZERO_VALUES: 'print-unset',
    GATEWAY_STREAMS: 'lines',
    GATEWAY_STREAM_RESULTS: 'true',
    GATEWAY_TRAILERS: 'trailers',
    GATEWAY_METHOD_NOT_ALLOWED: '501',
  },
  // The filter grpc_json_transcoder with convert_grpc_status, which ESPv2 uses too.
  envoy: {
    GATEWAY_ERRORS: 'status',
    GATEWAY_IGNORE_UNKNOWN: 'body',
    GATEWAY_BOOLEANS: 'any',
    GATEWAY_PATH_DECODING: 'reserved',
    GATEWAY_STREAMS: 'array',
    GATEWAY_UPDATE_MASK: 'off',
    GATEWAY_METHOD_NOT_ALLOWED: '404',
  },
  // The APIs at googleapis.com.
  google: {
    GATEWAY_STREAMS: 'array',
    GATEWAY_METHOD_NOT_ALLOWED: '404',
  },
} as const satisfies Readonly<Record<string, Partial<Record<SettingName, string>>>>

/** Adds the switches of GATEWAY_PRESET to `env`, except for those that are set. @throws {ConfigError} for an unknown preset */
export function withPreset(env: Env): Env {
  const name = read(env, 'GATEWAY_PRESET')
  if (name === undefined) return env
  const set = Object.entries(env).filter(([, value]) => value)
  return {...presets[name], ...Object.fromEntries(set)}
}
