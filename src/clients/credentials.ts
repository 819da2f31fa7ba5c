import type {AuthClient, IdTokenProvider} from 'google-auth-library'
import type {Config} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {within} from '../core/waiting.ts'

/** How long one attempt to get a token may take, in ms. */
const attempt = 10_000

/** Where tokens come from. */
export interface Credentials {
  /**
   * A new ID token for `audience`.
   * @throws when there is none to be had, or as soon as `signal` aborts where that can be done
   */
  idToken(audience: string, signal: AbortSignal): Promise<string>
  /** What google-auth-library and @google-cloud/storage know these credentials as. */
  readonly client: AuthClient
}

/** Gives the credentials of one runtime: found when first asked for; a failure is not remembered. */
export type CredentialsSource = () => Promise<Credentials>

/** The credentials that `config` names: nothing is looked for before they are asked for. */
export function credentialsOf(config: Pick<Config, 'metadataHost' | 'projectId'>): CredentialsSource {
  const {metadataHost, projectId} = config
  let found: Promise<Credentials> | undefined
  return () => {
    found ??= (metadataHost ? fromMetadataServer(metadataHost) : fromEnvironment(projectId)).catch((error) => {
      found = undefined
      throw error
    })
    return found
  }
}

/**
 * The service account that Cloud Run runs this instance as.
 *
 * Asked with google-auth-library's transport, but not through its Compute client alone: that has no time limit on Cloud
 * Run, cannot be told to stop, and puts the audience into the URL as it is.
 */
async function fromMetadataServer(host: string): Promise<Credentials> {
  const {Compute} = await import('google-auth-library')
  const base = `http://${host}/computeMetadata/v1/instance/service-accounts/default`

  class MetadataServer extends Compute {
    /** The text of `path`. */
    async ask<T>(
      path: string,
      params: Record<string, string>,
      responseType: 'text' | 'json',
      signal?: AbortSignal,
    ): Promise<T> {
      const {data, headers} = await this.transporter.request<T>({
        url: `${base}/${path}`,
        params,
        responseType,
        headers: {'metadata-flavor': 'Google'},
        signal: AbortSignal.any([AbortSignal.timeout(attempt), ...(signal ? [signal] : [])]),
        retry: false,
        // It is next door, whatever HTTPS_PROXY says.
        noProxy: [new URL(base)],
      })
      if (headers.get('metadata-flavor') !== 'Google') throw new Error(`${host} is not a metadata server`)
      return data
    }

    protected override async refreshTokenNoCache() {
      const answer = await this.ask<{access_token: string; expires_in: number; token_type: string}>('token', {}, 'json')
      const {expires_in, ...token} = answer
      return {tokens: {...token, expiry_date: Date.now() + expires_in * 1000}, res: null}
    }
  }

  const client = new MetadataServer({forceRefreshOnFailure: true})
  return {
    client,
    idToken: (audience, signal) => client.ask<string>('identity', {audience, format: 'full'}, 'text', signal),
  }
}

/** A key file, impersonation, workload identity, or a developer's own login: as google-auth-library finds them. */
async function fromEnvironment(projectId = 'unknown'): Promise<Credentials> {
  const {GoogleAuth, JWT} = await import('google-auth-library')
  const auth = new GoogleAuth({
    scopes: 'https://www.googleapis.com/auth/cloud-platform',
    // Any name keeps it from asking the gcloud command for one.
    projectId,
    clientOptions: {transporterOptions: {timeout: attempt}},
  })
  const client = await auth.getClient()
  // Google's token endpoint answers 400 to an assertion that asks for scopes and for an audience.
  const provider = client instanceof JWT ? client.createScoped() : client
  return {
    client,
    async idToken(audience, signal) {
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
