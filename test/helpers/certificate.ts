import {generateKeyPairSync, sign} from 'node:crypto'

/** A private key and its certificate, in PEM. */
export interface Certificate {
  readonly key: string
  readonly cert: string
}

const day = 86_400_000

export interface CertificateOptions {
  /** When the certificate is valid, in days from now; by default from a day ago until a day ahead. */
  readonly valid?: readonly [from: number, until: number]
  /** The signer; by default the certificate is self-signed. */
  readonly authority?: Certificate & {readonly name: string}
}

/** A new key, and its self-signed certificate for `names` (DNS names or IPv4 addresses). */
export function certificateFor(...names: readonly string[]): Certificate {
  return certificateOf(names)
}

/** The same, with another validity or another signer. */
export function certificateOf(names: readonly string[], options: CertificateOptions = {}): Certificate {
  const {valid: [from, until] = [-1, 1], authority} = options
  const {publicKey, privateKey} = generateKeyPairSync('ec', {namedCurve: 'P-256'})
  const name = nameOf(names[0]!)
  const algorithm = sequence(oid('2a8648ce3d040302'))
  const about = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    algorithm,
    authority ? nameOf(authority.name) : name,
    sequence(time(Date.now() + from * day), time(Date.now() + until * day)),
    name,
    publicKey.export({type: 'spki', format: 'der'}),
    der(
      0xa3,
      sequence(
        sequence(oid('551d13'), yes, der(0x04, sequence(yes))),
        sequence(oid('551d11'), der(0x04, sequence(...names.map(alternative)))),
      ),
    ),
  )
  const signature = sign('sha256', about, authority?.key ?? privateKey)
  const bytes = sequence(about, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])))
  return {
    key: privateKey.export({type: 'pkcs8', format: 'pem'}).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${bytes
      .toString('base64')
      .match(/.{1,64}/g)!
      .join('\n')}\n-----END CERTIFICATE-----\n`,
  }
}

function nameOf(commonName: string): Buffer {
  return sequence(set(sequence(oid('550403'), der(0x0c, Buffer.from(commonName)))))
}

const yes = der(0x01, Buffer.from([0xff]))

/** A value in DER (X.690): its tag, its length, and its content. */
function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const {length} = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return der(0x30, ...contents)
}

function set(...contents: readonly Buffer[]): Buffer {
  return der(0x31, ...contents)
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

function time(ms: number): Buffer {
  return der(0x18, Buffer.from(new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')))
}

function alternative(name: string): Buffer {
  return /^\d+(\.\d+){3}$/.test(name)
    ? der(0x87, Buffer.from(name.split('.').map(Number)))
    : der(0x82, Buffer.from(name))
}
