import {type Cause, type CauseName, causes} from '../../src/clients/connections/causes.ts'
import type {Backend} from '../../src/core/config.ts'

/** Facts about a backend, for the texts of a row. */
export interface Place {
  readonly backend: Backend
  /** Host and port. */
  readonly host: string
  readonly port: number
  /** The Cloud Run service and its region, if the URL contains them, or else placeholders. */
  readonly service: string
  readonly region: string
  /** The account of the ID token. */
  readonly account: string
}

/** A possible problem of a backend. */
export interface Trouble {
  readonly is: (place: Place) => string
  readonly change: (place: Place) => string
  /** The command to run. */
  readonly line: (place: Place) => string
}

/** Problems that only `doctor` finds, beside the causes that calls report. */
export const troubles = {
  URL_NOT_SET: {
    is: () => 'no backend is named',
    change: () => 'name it, or set BACKEND_URL',
    line: () => 'npx grpc-functions doctor https://SERVICE-HASH.a.run.app',
  },
  URL: {
    is: () => 'its URL cannot be used',
    change: () => 'correct it',
    line: () => "gcloud run services describe SERVICE --region=REGION --format='value(status.url)'",
  },
  NO_SUCH_SERVICE: {
    is: () => "Google's front end has no service of this URL",
    change: () => 'correct the host of the URL, or deploy the service',
    line: ({service, region}) =>
      `gcloud run services describe ${service} --region=${region} --format='value(status.url)'`,
  },
  NOT_END_TO_END: {
    is: () => 'HTTP/2 ends at its front end: the server behind it is called by HTTP/1, or is not a gRPC server',
    change: () => 'use HTTP/2 end to end; if it is used, look at the log of the server',
    line: ({service, region}) => `gcloud run services update ${service} --region=${region} --use-http2`,
  },
  NOT_STARTED: {
    is: () => 'its front end answers instead: the service is not running, or HTTP/2 is not used end to end',
    change: () => 'look at its log; if it is running, deploy it with --use-http2',
    line: ({service, region}) => `gcloud run services update ${service} --region=${region} --use-http2`,
  },
  NO_CREDENTIALS: {
    is: ({backend}) => `no ID token is available for "${backend.audience}"`,
    change: () => 'log in as a service account: only these can get one',
    line: () =>
      'gcloud auth application-default login --impersonate-service-account=NAME@PROJECT.iam.gserviceaccount.com',
  },
  TOKEN_WANTED: {
    is: () => 'it requires an ID token, and none is sent',
    change: () => 'name the audience of the token: the URL of the service',
    line: ({backend}) => `BACKEND_AUDIENCE=${backend.url}`,
  },
  AUDIENCE: {
    is: ({backend}) => `it does not accept an ID token for the audience "${backend.audience}"`,
    change: () =>
      'set BACKEND_AUDIENCE to the run.app URL of the service, or, for a custom domain, let the service accept that as well',
    line: ({backend, service, region}) =>
      `gcloud run services update ${service} --region=${region} --add-custom-audiences=${backend.audience}`,
  },
  INVOKER: {
    is: ({account}) => `${account} may not call it: it lacks roles/run.invoker`,
    change: () => 'grant it that role on the service',
    line: ({service, region, account}) =>
      `gcloud run services add-iam-policy-binding ${service} --region=${region} --member=serviceAccount:${account} --role=roles/run.invoker`,
  },
  UNHEALTHY: {
    is: () => 'its grpc.health.v1 reports that it is not serving',
    change: () => 'look at its log',
    line: ({service, region}) => `gcloud run services logs read ${service} --region=${region} --limit=50`,
  },
  NO_HEALTH: {
    is: () => 'it has no grpc.health.v1.Health, so /health reports UNKNOWN for it',
    change: () => 'add that service to the server, if its state should be reported',
    line: () => 'npm install grpc-health-check',
  },
  NO_REFLECTION: {
    is: () => 'it has no server reflection, so tools cannot get its schema from it',
    change: () => 'let tools read the schema from the protos',
    line: () => 'npx grpc-functions descriptors --out all.binpb',
  },
  SLOW: {
    is: () => 'it did not answer in time',
    change: () => 'try again with a longer timeout; a cold start can take long',
    line: ({backend}) => `npx grpc-functions doctor ${backend.url} --timeout 30`,
  },
} as const satisfies Readonly<Record<string, Trouble>>

export type TroubleName = keyof typeof troubles | CauseName

/** Commands for the causes that calls report, when a backend cannot be reached. */
const lines: Readonly<Record<CauseName, Trouble['line']>> = {
  TLS_PORT: ({backend}) => `BACKEND_URL=${backend.url.replace('http:', 'https:')}`,
  PLAINTEXT_PORT: ({backend}) => `BACKEND_URL=${backend.url.replace('https:', 'http:')}`,
  HTTP1_ONLY: ({service, region}) => `gcloud run services update ${service} --region=${region} --use-http2`,
  CERTIFICATE_EXPIRED: (place) => `${certificateOf(place)} -dates`,
  CERTIFICATE_NOT_YET_VALID: (place) => `${certificateOf(place)} -dates`,
  CERTIFICATE_NAME: (place) => `${certificateOf(place)} -ext subjectAltName`,
  UNKNOWN_AUTHORITY: () => 'export NODE_EXTRA_CA_CERTS=/path/to/authority.pem',
  CERTIFICATE_REVOKED: (place) => `${certificateOf(place)} -serial`,
  CLIENT_CERTIFICATE: ({host, port}) => `openssl s_client -connect ${host}:${port} -servername ${host} -alpn h2`,
  TLS_VERSION: ({host, port}) => `openssl s_client -connect ${host}:${port} -servername ${host} -tls1_2`,
  NO_SUCH_HOST: ({host}) => `nslookup ${host}`,
  CONNECTION_REFUSED: ({host, port}) => `nc -vz ${host} ${port}`,
  NO_ROUTE: ({host, port}) => `nc -vz -w 3 ${host} ${port}`,
  SILENT: ({host, port}) => `nc -vz -w 3 ${host} ${port}`,
  NOT_HTTP2: ({host, port}) => `nc ${host} ${port}`,
  CLOSED: ({service, region}) => `gcloud run services logs read ${service} --region=${region} --limit=50`,
}

function certificateOf({host, port}: Place): string {
  return `openssl s_client -connect ${host}:${port} -servername ${host} </dev/null | openssl x509 -noout`
}

/** The texts of the problem `name` for `place`. */
export function troubleOf(name: TroubleName, place: Place): {is: string; change: string; line: string} {
  if (name in troubles) {
    const {is, change, line}: Trouble = troubles[name as keyof typeof troubles]
    return {is: is(place), change: change(place), line: line(place)}
  }
  const {is, change}: Cause = causes[name as CauseName]
  return {is, change: change(place.backend), line: lines[name as CauseName](place)}
}
