import type {Backend} from '../../core/config.ts'

/** Why a backend cannot be reached, for its operator. */
export interface Cause {
  /** Matches the error text of grpc-js, Node or OpenSSL; undefined when other causes have the same text. */
  readonly says?: RegExp
  /** The problem, for the operator. */
  readonly is: string
  /** The remedy, for the operator. */
  readonly change: (backend: Backend) => string
}

/** Causes of a dead backend. The first match wins. */
export const causes = {
  TLS_PORT: {
    is: 'its port speaks TLS, and its URL says "http://"',
    change: ({url}) => `set the URL to "${url.replace('http:', 'https:')}"`,
  },
  PLAINTEXT_PORT: {
    says: /wrong version number|packet length too long|\bhttp request\b|record layer failure/i,
    is: 'its port speaks no TLS, and its URL says "https://"',
    change: ({url}) =>
      `set the URL to "${url.replace('https:', 'http:')}" if the server is on this machine or in a private network, or have it serve TLS`,
  },
  HTTP1_ONLY: {
    says: /no application protocol/i,
    is: 'the server speaks HTTP/1 only',
    change: () =>
      'have the server, and each proxy before it, speak HTTP/2, which gRPC needs: on Cloud Run, deploy it with --use-http2',
  },
  CERTIFICATE_EXPIRED: {
    says: /certificate has expired|CERT_HAS_EXPIRED/i,
    is: 'its certificate has expired',
    change: () => "renew the server's certificate; if it is current, set the clock of this machine",
  },
  CERTIFICATE_NOT_YET_VALID: {
    says: /certificate is not yet valid|CERT_NOT_YET_VALID/i,
    is: 'its certificate is not valid yet',
    change: () => 'set the clock of this machine, or use a certificate that is valid now',
  },
  CERTIFICATE_NAME: {
    says: /ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate's altnames/i,
    is: 'its certificate is for another host name',
    change: ({url, host}) =>
      `use a name of the certificate in place of "${host}" in the URL ${url}, or have the server use a certificate for that name`,
  },
  UNKNOWN_AUTHORITY: {
    says: /self.signed.cert|unable.to.(verify.(the.first|leaf)|get.(local.)?issuer|get.issuer.cert)|unknown ca\b/i,
    is: 'its certificate is signed by an authority that Node does not know',
    change: () =>
      "save the authority's certificate in a PEM file, and set NODE_EXTRA_CA_CERTS to its path before Node starts (GRPC_DEFAULT_SSL_ROOTS_FILE_PATH, where it is set, takes the place of all that Node trusts)",
  },
  CERTIFICATE_REVOKED: {
    says: /certificate (is )?revoked|CERT_REVOKED/i,
    is: 'its certificate is revoked',
    change: () => 'have the server use a new certificate',
  },
  CLIENT_CERTIFICATE: {
    says: /alert (certificate required|bad certificate|handshake failure)/i,
    is: 'the server ended the TLS handshake, as one does that requires a client certificate',
    change: () => 'have the server take calls without a client certificate: these functions have none',
  },
  TLS_VERSION: {
    says: /alert protocol version|unsupported protocol|no protocols available|no shared cipher/i,
    is: 'the server and Node have no TLS version or cipher in common',
    change: () => 'have the server speak TLS 1.2 or later',
  },
  NO_SUCH_HOST: {
    says: /Name resolution failed|ENOTFOUND|EAI_AGAIN/,
    is: 'its host name cannot be resolved',
    change: ({url}) => `correct the host in the URL ${url}; a private name needs the VPC that knows it`,
  },
  CONNECTION_REFUSED: {
    says: /ECONNREFUSED/,
    is: 'nothing listens at its host and port',
    change: ({url}) => `start the server, or correct host and port in the URL ${url}`,
  },
  NO_ROUTE: {
    says: /EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EHOSTDOWN|ENETDOWN/,
    is: 'there is no way through the network to its host',
    change: () => 'check firewall rules, and the VPC egress of these functions',
  },
  SILENT: {
    is: 'nothing answers at its host and port',
    change: () =>
      'does a firewall or a VPC drop the packets, or does a server there accept connections and not speak HTTP/2?',
  },
  NOT_HTTP2: {
    says: /Protocol error/i,
    is: 'its port speaks another protocol than HTTP/2',
    change: ({url}) => `correct the port in the URL ${url}`,
  },
  CLOSED: {
    says: /Failed to connect|ECONNRESET|EPIPE|Socket closed|Connection closed|disconnected before secure TLS/i,
    is: 'it closes each connection before it says a word of HTTP/2',
    change: () => "look at the server's own log: does it start, and is it a gRPC server?",
  },
} as const satisfies Readonly<Record<string, Cause>>

export type CauseName = keyof typeof causes

const rows: readonly [CauseName, Cause][] = Object.entries(causes) as [CauseName, Cause][]

/** The cause that an error's `text` names; undefined for an unknown one. */
export function causeIn(text: string): CauseName | undefined {
  return rows.find(([, {says}]) => says?.test(text))?.[0]
}

/** The problem of `backend` and its remedy, in one line. */
export function adviceFor(name: CauseName, backend: Backend): string {
  const {is, change}: Cause = causes[name]
  return `${backend.url} cannot be reached: ${is}: ${change(backend)}`
}
