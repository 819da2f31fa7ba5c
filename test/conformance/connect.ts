import {execFile, spawn, spawnSync} from 'node:child_process'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'

// The suite of connectrpc against the gateway, with its gRPC server as backend. Its programs are built, and its protos read, as
// the Go module has them: nothing of it is in this repository.

const suite = 'connectrpc.com/conformance@v1.0.7'

/** How long the suite may take, and the building of its programs, in ms. */
const patience = 10 * 60_000

/** What a function is asked for: HTTP/1.1, as Cloud Run sends it. */
const features = `features:
  versions: [HTTP_VERSION_1]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  streamTypes:
    - STREAM_TYPE_UNARY
    - STREAM_TYPE_CLIENT_STREAM
    - STREAM_TYPE_SERVER_STREAM
    - STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM
  supportsH2c: false
  supportsTls: false
  supportsTlsClientCerts: false
  supportsTrailers: false
  supportsHalfDuplexBidiOverHttp1: true
  supportsConnectGet: true
  supportsMessageReceiveLimit: true
`

/** Cases that cannot pass: behind gRPC, no backend sees the query of a GET, which these expect it to tell. */
const expectedToFail: readonly string[] = []

const run = promisify(execFile)

if (spawnSync('go', ['version']).status !== 0) {
  console.log('Skipped: the suite is built with Go, and there is none here (https://go.dev/doc/install)')
} else {
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  try {
    process.exitCode = await conformance(folder)
  } finally {
    rmSync(folder, {recursive: true, force: true})
  }
}

/** The exit code of the suite. */
async function conformance(folder: string): Promise<number> {
  const go = {env: {...process.env, GOBIN: folder, GOFLAGS: '-mod=mod'}, cwd: folder, timeout: patience}
  const [module, version] = suite.split('@')
  await run(
    'go',
    ['install', ...['connectconformance', 'grpcserver'].map((name) => `${module}/cmd/${name}@${version}`)],
    go,
  )
  const {stdout} = await run('go', ['mod', 'download', '-json', suite], go)
  const protos = join(JSON.parse(stdout).Dir, 'proto')
  const descriptors = join(folder, 'descriptors.binpb')
  await run('buf', ['build', protos, '--as-file-descriptor-set', '-o', descriptors], {timeout: patience})
  const config = join(folder, 'config.yaml')
  writeFileSync(config, features)
  const server = [
    process.execPath,
    join(import.meta.dirname, 'connect-server.ts'),
    join(folder, 'grpcserver'),
    descriptors,
  ]
  const failing = expectedToFail.flatMap((name) => ['--known-failing', name])
  const args = ['--mode', 'server', '--conf', config, ...failing, ...process.argv.slice(2), '--', ...server]
  const child = spawn(join(folder, 'connectconformance'), args, {stdio: 'inherit', timeout: patience})
  return await new Promise((resolve, reject) => {
    child.on('error', reject).on('exit', (code) => resolve(code ?? 1))
  })
}
