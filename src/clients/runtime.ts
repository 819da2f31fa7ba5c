import type {Config} from '../core/config.ts'
import {createLog, type Logger} from '../core/log.ts'
import type {RateLimitStore} from '../core/rate-limit.ts'
import type {CallRuntime} from './call.ts'
import {Channels} from './channels.ts'
import {type CredentialsSource, credentialsOf} from './identity/credentials.ts'
import {IdTokens} from './identity/id-tokens.ts'
import {StorageReader} from './storage/objects.ts'

/**
 * The resources that the functions of one instance share, and that outlive a request: channels, ID tokens, credentials, the
 * Storage client. All are made at first use. Two runtimes in one process share nothing.
 */
export interface Runtime extends CallRuntime {
  readonly config: Config
  readonly log: Logger
  readonly channels: Channels
  readonly credentials: CredentialsSource
  readonly storage: StorageReader
  /** Where the requests of callers are counted, for RATE_LIMIT; in the memory of this instance unless given. */
  readonly rateLimits: RateLimitStore | undefined
  /** Awaited before each response ends. */
  readonly flush: (() => Promise<unknown>) | undefined
  /** Closes the channels and the connections to Storage. Later requests open new ones. */
  close(): void
}

/** Options of a runtime beside its configuration. */
export interface RuntimeOptions {
  /** Where records go; JSON lines on standard output unless given. */
  readonly log?: Logger
  /** Where the requests of callers are counted, for RATE_LIMIT; in the memory of this instance unless given. */
  readonly rateLimits?: RateLimitStore
  /**
   * Sends the collected data of a request, such as spans and metrics of OpenTelemetry. It is awaited before each
   * response ends, for at most a second, because Cloud Run takes the CPU away afterwards.
   */
  readonly flush?: () => Promise<unknown>
}

/**
 * Makes a runtime with `config`. It opens, loads and requests nothing yet.
 * @example
 * const runtime = createRuntime(readConfig(process.env))
 * const other = createRuntime(readConfig({BACKEND_URL: 'http://localhost:9090'}))
 */
export function createRuntime(
  config: Config,
  {log = createLog(config), rateLimits, flush}: RuntimeOptions = {},
): Runtime {
  const credentials = credentialsOf(config)
  const channels = new Channels(config)
  const storage = new StorageReader({...config, credentials})
  return {
    config,
    log,
    credentials,
    channels,
    idTokens: new IdTokens(credentials),
    storage,
    rateLimits,
    flush,
    close() {
      channels.close()
      storage.close()
    },
  }
}
