import {execFile, spawn, spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'

// Runs the suite of connectrpc against the gateway, with the suite's gRPC servers as backends. Its programs are built, and its
// protos read, from the Go module: nothing of it is in this repository. `node test/conformance/connect.ts --run 'Errors/**'` runs
// a part.

const suite = 'connectrpc.com/conformance@v1.0.7'

/** Timeout of the suite, and of building its programs, in ms. */
const patience = 10 * 60_000

/** The features that the suite tests: HTTP/1.1, as Cloud Run sends it. */
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

/** The suite's gRPC servers, each as a backend, with the cases that cannot pass with it. */
const backends = {
  referenceserver: [],
  // Built on grpc-go. It does not implement IdempotentUnary, which these cases call by GET.
  grpcserver: [
    'Connect with GET/HTTPVersion:1/Codec:CODEC_JSON/TLS:false/success',
    'Connect with GET/HTTPVersion:1/Codec:CODEC_PROTO/TLS:false/success',
  ],
} as const satisfies Record<string, readonly string[]>

const run = promisify(execFile)
const buf = join(import.meta.dirname, '../../node_modules/.bin/buf')

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

/** 0 if all cases pass with each backend, except for those that cannot. */
async function conformance(folder: string): Promise<number> {
  const options = {env: {...process.env, GOBIN: folder}, cwd: folder, timeout: patience}
  const [module, version] = suite.split('@')
  const programs = ['connectconformance', ...Object.keys(backends)]
  await run('go', ['install', ...programs.map((name) => `${module}/cmd/${name}@${version}`)], options)
  const {stdout} = await run('go', ['mod', 'download', '-json', suite], options)
  const descriptors = join(folder, 'descriptors.binpb')
  const protos = join((JSON.parse(stdout) as {Dir: string}).Dir, 'proto')
  await run(buf, ['build', protos, '--as-file-descriptor-set', '-o', descriptors], {timeout: patience})
  const config = join(folder, 'config.yaml')
  writeFileSync(config, features)
  const server = join(import.meta.dirname, 'connect-server.ts')
  let worst = 0
  for (const [backend, failing] of Object.entries(backends)) {
    console.log(`In front of ${backend}:`)
    const code = await exitCodeOf(join(folder, 'connectconformance'), [
      ...['--mode', 'server', '--conf', config],
      ...failing.flatMap((name) => ['--known-failing', name]),
      ...process.argv.slice(2),
      ...['--', process.execPath, server, join(folder, backend), descriptors],
    ])
    worst = Math.max(worst, code)
  }
  return worst
}

/** Runs `program` in a process group of its own, and ends every process that it leaves behind. */
async function exitCodeOf(program: string, args: readonly string[]): Promise<number> {
  const child = spawn(program, args, {stdio: 'inherit', detached: true, timeout: patience})
  const endGroup = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // The group has no processes left.
    }
  }
  const stop = () => process.exit(1)
  process.on('exit', endGroup).on('SIGINT', stop).on('SIGTERM', stop)
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    return code ?? 1
  } finally {
    endGroup()
  }
}
