#!/usr/bin/env node
import {Command, CommanderError, InvalidArgumentError, Option} from 'commander'
import {fail} from './output.ts'

// A command's file is loaded when it is run: what one needs, others do not wait for.

const program = new Command('grpc-functions')
  .description('gRPC services over HTTP, as Cloud Run functions: makes a project, serves it, and looks into it')
  .exitOverride()
  .showHelpAfterError('(--help says more)')
  .configureHelp({sortSubcommands: false, showGlobalOptions: false})
  .addHelpText(
    'after',
    `
Exit codes: 0 all is well; 1 the command has failed, or has found what is wrong; 2 the command line is wrong. A call that fails
ends with 64 and its gRPC code. With --json, what a command prints to standard output is JSON, {"error": {"message"}} for a failure.

The environment is that of the functions (README has the table): BACKEND_URL, AUTH, GATEWAY_DESCRIPTORS, ...`,
  )

command('init <folder>', 'makes a project in a folder that is empty, or not there').action(async (folder, options) =>
  (await import('./init.ts')).init(folder, options),
)

command('dev', 'serves the functions on PORT (8080) of this machine, and restarts them when files change')
  .alias('start')
  .option('--target <name>', 'the function that is served; FUNCTION_TARGET, or all of them, unless given')
  .addHelpText(
    'after',
    `
Behind them is a local stack: the services of local/services.ts, Storage, and a metadata server that gives ID tokens. What the
environment names is not started: BACKEND_URL, STORAGE_EMULATOR_HOST, GCE_METADATA_HOST. Ctrl-C ends all of it, with exit code 0.`,
  )
  .action(async (options) => (await import('./dev.ts')).serve(options))

command('generate', 'makes src/gen/ of proto/: JavaScript, types and descriptors').action(async (options) =>
  (await import('./generated.ts')).generated(options),
)

command('routes', 'lists what is served: each HTTP rule of proto/, what is not served and why, and what conflicts')
  .addHelpText('after', '\nExit code 1: there is a rule that cannot be served, so that the functions would not start.')
  .action(async (options) => (await import('./routes.ts')).routes(options))

command('openapi', 'writes the OpenAPI 3.1 document that the functions have at /openapi.json')
  .option('--out <file>', 'where to; standard output unless given. A name that ends in .yaml or .yml means YAML')
  .addOption(new Option('--format <format>', 'json, unless the name of the file says yaml').choices(['json', 'yaml']))
  .action(async (options) => (await import('./openapi.ts')).openapi(options))

command('descriptors', 'writes proto/ as a FileDescriptorSet, for GATEWAY_DESCRIPTORS and other tools')
  .option('--out <file>', 'where to; standard output unless given')
  .action(async (options) => (await import('./descriptors.ts')).descriptors(options))

command('build [entry]', 'makes dist/ for a deploy: one script with all code, and compile caches')
  .option(
    '--external <package>',
    'a package that stays in node_modules, as those with native code do',
    (name, others: string[]) => [...others, name],
    [],
  )
  .addHelpText(
    'after',
    '\nentry: the deployed entry point, main of package.json unless given. npm run gcp-build runs this.',
  )
  .action(async (entry, options) => (await import('./build.ts')).build(entry, options))

command(
  'doctor [url]',
  'says what is wrong with a backend, and what to type: those of BACKEND_URL… unless one is given',
)
  .option(
    '--audience <audience>',
    "the audience of the ID token; for https the URL's origin unless given, none: no token",
  )
  .option('--timeout <seconds>', 'how long it may take', seconds, 5)
  .addHelpText(
    'after',
    `
It looks at the URL, DNS, the network, TLS, HTTP/2, the ID token, who may call, health and reflection, and ends at the first that is
wrong, with exit code 1. The last two may be missing: that is a note.`,
  )
  .action(async (url, options) => (await import('./doctor.ts')).doctor(url, options))

command('key <name> [methods]', 'makes an API key, and its line for the file of AUTH_API_KEYS')
  .addHelpText('after', '\nmethods: pkg.Service/Method,pkg.Service/Method: those that it may call, all unless given.')
  .action(async (name, methods, options) => (await import('./key.ts')).key(name, methods, options))

/** An option's number of seconds. @throws {InvalidArgumentError} */
function seconds(text: string): number {
  const value = Number(text)
  if (value > 0 && value <= 3600) return value
  throw new InvalidArgumentError('Expected a number of seconds.')
}

/** With what all commands have. */
function command(name: string, description: string): Command {
  return program.command(name).description(description).option('--json', 'prints JSON')
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else fail(error, process.argv.includes('--json'))
}
