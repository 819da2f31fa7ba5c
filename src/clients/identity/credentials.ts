import type {AuthClient, IdTokenProvider} from 'google-auth-library'
import type {Config} from '../../core/config.ts'
import {Fault} from '../../core/fault.ts'
import {within} from '../../core/waiting.ts'
import {askMetadata} from './metadata-server.ts'

/** Timeout for one attempt to get a token, in ms. */
const attempt = 10_000

/** A source of tokens. */
export interface Credentials {
  /**
   * A new ID token for `audience`.
   * @param options.once whether to make only one attempt, because the current token is still valid
   * @throws when no token can be obtained, or when `signal` aborts, as far as the source supports that
   */
  idToken(audience: string, options: {signal: AbortSignal; once: boolean}): Promise<string>
  /** These credentials as @google-cloud/storage takes them; loads google-auth-library. */
  client(): Promise<AuthClient>
}

/** Gives the credentials of one runtime. They are looked up at first use; a failure is not cached. */
export type CredentialsSource = () => Promise<Credentials>

/** The credentials that `config` names. They are looked up at first use. */
export function credentialsOf(config: Pick<Config, 'metadataHost' | 'projectId'>): CredentialsSource {
  const {metadataHost, projectId} = config
  let found: Promise<Credentials> | undefined
  return () => {
    found ??= (metadataHost ? Promise.resolve(fromMetadataServer(metadataHost)) : fromEnvironment(projectId)).catch(
      (error) => {
        found = undefined
        throw error
      },
    )
    return found
  }
}

/**
 * The service account of this Cloud Run instance. ID tokens are fetched without google-auth-library: loading it and its fetch
 * would take as long as loading gRPC, before the first response of an instance.
 */
function fromMetadataServer(host: string): Credentials {
  let client: Promise<AuthClient> | undefined
  return {
    idToken: (audience, options) =>
      askMetadata(host, `identity?${new URLSearchParams({audience, format: 'full'})}`, options),
    client() {
      client ??= metadataClient(host)
      return client
    },
  }
}

/** Google's Compute client with a timeout, which it lacks on Cloud Run. */
async function metadataClient(host: string): Promise<AuthClient> {
  const {Compute} = await import('google-auth-library')

  class MetadataServer extends Compute {
    protected override async refreshTokenNoCache() {
      const answer = JSON.parse(await askMetadata(host, 'token'))
      const {expires_in, ...token} = answer as {access_token: string; expires_in: number; token_type: string}
      return {tokens: {...token, expiry_date: Date.now() + expires_in * 1000}, res: null}
    }
  }

  return new MetadataServer({forceRefreshOnFailure: true})
}

/** A key file, impersonation, workload identity, or a developer's own login: as google-auth-library finds them. */
async function fromEnvironment(projectId = 'unknown'): Promise<Credentials> {
  const {GoogleAuth, JWT} = await import('google-auth-library')
  const auth = new GoogleAuth({
    scopes: 'https://www.googleapis.com/auth/cloud-platform',
    // With any name set, the library does not run the gcloud command to find one.
    projectId,
    clientOptions: {transporterOptions: {timeout: attempt}},
  })
  const client = await auth.getClient()
  // Google's token endpoint answers 400 to an assertion that asks for scopes and for an audience.
  const provider = client instanceof JWT ? client.createScoped() : client
  return {
    client: async () => client,
    async idToken(audience, {signal}) {
      if ('fetchIdToken' in provider) {
        const token = (provider as IdTokenProvider).fetchIdToken(audience)
        return await within(AbortSignal.any([signal, AbortSignal.timeout(attempt)]), token)
      }
      throw new Fault('UNAVAILABLE', 'These credentials give no ID tokens', {
        hint: 'use a service account: its key file, impersonation of it, or the metadata server',
      })
    },
  }
}
