import type {GrpcServer} from './grpc/server.ts'
import {type MetadataServer, startMetadataServer} from './identity/metadata.ts'
import {type StorageServer, startStorage} from './storage/server.ts'

/** The environment of the functions. */
export type Env = Readonly<Record<string, string | undefined>>

/** A gRPC server that has been started, in this or another process. */
export interface RunningBackend {
  readonly url: string
  close(): Promise<void>
}

/** A local stack: the servers that the functions call instead of Google's, each on its own free port. */
export interface Parts<Backend extends RunningBackend = GrpcServer> extends AsyncDisposable {
  /** Left out, as the others are, when the environment already names one. */
  readonly metadata: MetadataServer | undefined
  readonly backend: Backend | undefined
  readonly storage: StorageServer | undefined
  /** Environment variables by which the functions find the parts. */
  readonly env: Readonly<Record<string, string>>
  /** Ends all parts; nothing is left behind. */
  close(): Promise<void>
}

/** The bucket that upload may read from, unless UPLOAD_BUCKETS names others. */
export const localBucket = 'samples'

/**
 * Starts the parts that `given` does not name: a metadata server, a gRPC server that requires its ID tokens, and Storage.
 * @param metadataPort where the metadata server listens; any free port unless given
 * @param startBackend starts the gRPC server; `iam` is undefined if no caller could get a token for it
 */
export async function startParts<Backend extends RunningBackend>(
  given: Env,
  startBackend: (options: {readonly iam: MetadataServer | undefined}) => Promise<Backend>,
  metadataPort = 0,
): Promise<Parts<Backend>> {
  const ownBackend = !Object.keys(given).some((name) => /^BACKEND_URL(_|$)/.test(name) && given[name])
  // Only our own services accept its tokens.
  const metadata = ownBackend && !given.GCE_METADATA_HOST ? await startMetadataServer({port: metadataPort}) : undefined
  const backend = ownBackend ? await startBackend({iam: metadata}) : undefined
  const storage = given.STORAGE_EMULATOR_HOST ? undefined : await startStorage()
  const close = async () => {
    await Promise.all([backend?.close(), storage?.close()])
    await metadata?.close()
  }
  return {
    metadata,
    backend,
    storage,
    env: {
      // Our services accept no other tokens, so a developer's own credentials would not work.
      ...(metadata && {
        GCE_METADATA_HOST: metadata.host,
        GCE_METADATA_IP: '',
        GOOGLE_APPLICATION_CREDENTIALS: '',
        GOOGLE_CLOUD_PROJECT: metadata.projectId,
      }),
      ...(backend && {BACKEND_URL: backend.url, BACKEND_AUDIENCE: metadata ? backend.url : 'none'}),
      ...(storage && {STORAGE_EMULATOR_HOST: storage.url}),
      UPLOAD_BUCKETS: given.UPLOAD_BUCKETS || localBucket,
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
