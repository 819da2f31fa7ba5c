import {execFile, spawnSync} from 'node:child_process'
import {chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {createServer} from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {startFunctions} from '../../local/functions.ts'

// Runs the integration tests of grpc-gateway against this gateway with GATEWAY_PRESET=grpc-gateway, in front of their own server.
// They are a Go module, and are built in a temporary folder with a main of ours, which starts their server and leaves port 8088
// to this gateway.

const suite = 'github.com/grpc-ecosystem/grpc-gateway/v2@v2.33.0'
const tests = 'examples/internal/integration'

/** Timeout of building, and of one test, in ms. */
const patience = 10 * 60_000
const testPatience = 20_000

/** The ports that the tests expect: for the gateway, for one of their own, and for the server. */
const ports = [8088, 8089, 9090]

/** The tests that fail by an error of the suite itself, with the reason. */
const ownFaults: Readonly<Record<string, string>> = {
  TestABE:
    'a repeated field in a path, which http.proto forbids; a line break after each message of a google.api.HttpBody',
  TestEchoPatch: 'an update mask with the keys of a google.protobuf.Struct, which are not fields',
  TestExcessBody: 'whatever follows the JSON of a body is ignored',
  TestResponseBodyStreamHttpBody: 'a line break after each message of a google.api.HttpBody',
  TestResponseBodyStreamHttpBodyError:
    'an error in the middle of the bytes of a google.api.HttpBody, as if it were part of them',
}

/** Two sets of generated code serve the same methods in the suite. These are the rules of both, in one file. */
const rules = `http:
  rules:
  - selector: grpc.gateway.examples.internal.proto.examplepb.UnannotatedEchoService.Echo
    post: /v2/example/echo/{id}
    additional_bindings:
    - get: /v2/example/echo/{id}/{num}
    - get: /v2/example/echo/{id}/{num}/{lang}
    - get: /v2/example/echo1/{id}/{line_num}/{status.note}
    - get: /v2/example/echo2/{no.note}
  - selector: grpc.gateway.examples.internal.proto.examplepb.UnannotatedEchoService.EchoBody
    post: /v2/example/echo_body
    body: '*'
`

const main = `package integration_test

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/examples/internal/gateway"
	"github.com/grpc-ecosystem/grpc-gateway/v2/examples/internal/server"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

var dump = flag.String("dump", "", "")

func runGateway(ctx context.Context, addr string, opts ...runtime.ServeMuxOption) error {
	endpoint := gateway.Endpoint{Network: "tcp", Addr: "localhost:9090"}
	return gateway.Run(ctx, gateway.Options{Addr: addr, GRPCServer: endpoint, Mux: opts})
}

func waitForGateway(ctx context.Context, port uint16) error {
	for ctx.Err() == nil {
		response, err := http.Get(fmt.Sprintf("http://localhost:%d/healthz", port))
		if err == nil && response.StatusCode == http.StatusOK {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ctx.Err()
}

func waitForPort(address string) {
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func writeDescriptors(path string) {
	set := &descriptorpb.FileDescriptorSet{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
		return true
	})
	bytes, err := proto.Marshal(set)
	if err == nil {
		err = os.WriteFile(path, bytes, 0o644)
	}
	if err != nil {
		panic(err)
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	if *dump != "" {
		writeDescriptors(*dump)
		return
	}
	ctx := context.Background()
	go func() { fmt.Fprintln(os.Stderr, server.Run(ctx, "tcp", "localhost:9090")) }()
	go func() { fmt.Fprintln(os.Stderr, server.RunInProcessGateway(ctx, ":8089")) }()
	waitForPort("localhost:9090")
	waitForPort("localhost:8089")
	os.Exit(m.Run())
}
`

const run = promisify(execFile)

if (spawnSync('go', ['version']).status !== 0) {
  console.log('Skipped: the suite is built with Go, and there is none here (https://go.dev/doc/install)')
} else {
  for (const port of ports) await refuseTaken(port)
  const folder = mkdtempSync(join(tmpdir(), 'conformance-'))
  try {
    process.exitCode = await conformance(folder)
  } finally {
    rmSync(folder, {recursive: true, force: true})
  }
}

async function refuseTaken(port: number): Promise<void> {
  const {promise, resolve, reject} = Promise.withResolvers<void>()
  const server = createServer().once('error', reject).listen(port, resolve)
  await promise
  server.close()
}

/** 0 if all tests pass, except for those that fail by the suite's own errors. */
async function conformance(folder: string): Promise<number> {
  const program = join(folder, 'tests')
  const descriptors = join(folder, 'descriptors.binpb')
  const file = join(folder, 'rules.yaml')
  const cwd = await build(folder, program)
  await run(program, ['-dump', descriptors], {cwd})
  writeFileSync(file, rules)
  const env = {
    GATEWAY_PRESET: 'grpc-gateway',
    GATEWAY_UNSERVABLE: 'warn',
    GATEWAY_DESCRIPTORS: descriptors,
    GATEWAY_RULES: file,
  }
  const gateway = await startFunctions({
    target: 'gateway',
    port: ports[0]!,
    env: {PATH: process.env.PATH, BACKEND_URL: 'http://localhost:9090', LOG_LEVEL: 'silent', ...env},
    output: 'pipe',
  })
  try {
    const {stdout} = await run(program, ['-test.list', '.'], {cwd})
    const names = stdout.split('\n').filter((line) => line.startsWith('Test'))
    const failed: string[] = []
    // Each in its own process: some of the failing tests never end.
    for (const name of names) {
      const passes = await run(program, ['-test.run', `^${name}$`], {cwd, timeout: testPatience}).then(
        () => true,
        () => false,
      )
      if (!passes) failed.push(name)
      console.log(`${passes ? 'ok  ' : 'FAIL'} ${name}${passes ? '' : `: ${ownFaults[name] ?? 'unexpected'}`}`)
    }
    console.log(`${names.length - failed.length} of ${names.length} pass`)
    return failed.every((name) => name in ownFaults) ? 0 : 1
  } finally {
    gateway.process.kill()
    await gateway.exited
  }
}

/** Builds the tests, and returns the folder in which to run them. */
async function build(folder: string, program: string): Promise<string> {
  const {stdout} = await run('go', ['mod', 'download', '-json', suite], {cwd: folder, timeout: patience})
  const module = join(folder, 'module')
  cpSync((JSON.parse(stdout) as {Dir: string}).Dir, module, {recursive: true})
  const cwd = join(module, tests)
  // Go keeps modules in read-only folders.
  for (const path of [module, cwd, join(cwd, 'main_test.go')]) chmodSync(path, 0o755)
  writeFileSync(join(cwd, 'main_test.go'), main)
  await run('go', ['test', '-c', '-o', program, `./${tests}`], {cwd: module, timeout: patience})
  return cwd
}
