import {credentials} from '@grpc/grpc-js'
import {Ping} from '../services/ping.ts'
import {Repo} from '../services/repo.ts'
import {GrpcServer, type ServerOptions} from './server.ts'
import {type Upstream, UpstreamClient} from './upstream.ts'

export interface BackendOptions extends ServerOptions {
  /** The upstream of SendUpstream; unless given, the backend calls itself. */
  upstream?: Upstream | undefined
  /** Whether Repo computes SHA-256. */
  sha256?: boolean
}

/** The gRPC services of this repository's own stack, with controls for tests. */
export class Backend extends GrpcServer {
  readonly ping: Ping
  readonly repo: Repo
  readonly #upstream: UpstreamClient

  /** Use startBackend(). */
  constructor(options: BackendOptions) {
    const upstream = new UpstreamClient(() => options.upstream ?? itself())
    const ping = new Ping(upstream.ask)
    const repo = new Repo({sha256: options.sha256 ?? false})
    super({...options, services: [ping, repo, ...(options.services ?? [])]})
    this.ping = ping
    this.repo = repo
    this.#upstream = upstream
    // With the caller's own ID token, which was just accepted for this audience.
    const itself = (): Upstream => ({
      target: this.target,
      credentials: options.tls ? credentials.createSsl(Buffer.from(options.tls.cert)) : credentials.createInsecure(),
    })
  }

  override async close(graceMs?: number): Promise<void> {
    await super.close(graceMs)
    this.#upstream.close()
  }
}

/** Starts the gRPC services of this repository, on a free port of 127.0.0.1 unless told otherwise. */
export async function startBackend(options: BackendOptions = {}): Promise<Backend> {
  const backend = new Backend(options)
  await backend.listen(options)
  return backend
}
