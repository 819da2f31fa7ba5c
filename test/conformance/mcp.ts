import {execFile} from 'node:child_process'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {status} from '@grpc/grpc-js'
import {StatusError} from '../../local/grpc/status-error.ts'
import {startServed} from '../functions/gateway-services.ts'

// Runs the server scenarios of the protocol's own suite against the gateway, in front of real services. npm installs the suite
// for each run.

const suite = '@modelcontextprotocol/conformance@0.1.16'

/** The scenarios that cannot pass, by reason. */
const impossible: Readonly<Record<string, readonly string[]>> = {
  'a method has no prompts and no completions': [
    'completion-complete',
    'prompts-list',
    'prompts-get-simple',
    'prompts-get-with-args',
    'prompts-get-embedded-resource',
    'prompts-get-with-image',
  ],
  'an answer is JSON: a proto does not say that its bytes are an image, audio or a resource': [
    'tools-call-image',
    'tools-call-audio',
    'tools-call-embedded-resource',
    'tools-call-mixed-content',
  ],
  'gRPC has no way to ask the caller, or to send it log messages': [
    'logging-set-level',
    'tools-call-with-logging',
    'tools-call-sampling',
    'tools-call-elicitation',
    'elicitation-sep1034-defaults',
    'elicitation-sep1330-enums',
  ],
  'there are no sessions, so no subscriptions and no resumed streams': [
    'resources-subscribe',
    'resources-unsubscribe',
    'server-sse-polling',
    'server-sse-multiple-streams',
  ],
  'the suite has fixed URIs, and ours are the paths of rules': [
    'resources-read-text',
    'resources-read-binary',
    'resources-templates-read',
  ],
  'the front end checks the hosts of an instance; only `npm start` knows its own host, and refuses others': [
    'dns-rebinding-protection',
  ],
  'the suite asks for one schema that no message has: "$anchor", "if" and "then"': ['json-schema-2020-12'],
}

const app = await startServed({
  env: {
    MCP: 'true',
    MCP_TOOLS:
      'served.Echo/Whole=test_simple_text, served.Echo/Paths=test_error_handling, served.Streams/Down=test_tool_with_progress',
  },
})
const folder = mkdtempSync(join(tmpdir(), 'mcp-'))
using _failing = app.echo.handle({
  whole: () => ({name: 'This is a simple text response for testing.'}),
  paths: () => {
    throw new StatusError(status.INTERNAL, 'This tool intentionally returns an error for testing')
  },
})
using _progressing = app.streams.handle({
  async *down() {
    for (const int32Value of [0, 50, 100]) yield {int32Value}
  },
})
try {
  const expected = join(folder, 'expected.yaml')
  const names = Object.values(impossible).flat()
  writeFileSync(expected, `server:\n${names.map((name) => `  - ${name}\n`).join('')}`)
  const args = ['--yes', suite, 'server', '--url', app.url('/mcp'), '--suite', 'all', '--expected-failures', expected]
  const {stdout} = await promisify(execFile)('npx', [...args, '--output-dir', folder], {
    cwd: folder,
    maxBuffer: 1e8,
  }).catch((error: {stdout: string; stderr: string}) => {
    console.error(error.stderr)
    process.exitCode = 1
    return error
  })
  console.log(stdout.slice(stdout.lastIndexOf('=== SUMMARY')))
  for (const [reason, scenarios] of Object.entries(impossible)) console.log(`- ${reason}: ${scenarios.join(', ')}`)
} finally {
  rmSync(folder, {recursive: true})
  await app.close()
}
