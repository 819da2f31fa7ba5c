import {Command, InvalidArgumentError, Option} from 'commander'

// A command's file is loaded only when the command runs, so that no command waits for the modules of others.

/** All commands of `grpc-functions`. */
export const program = new Command('grpc-functions')
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
  (await import('./commands/init.ts')).init(folder, options),
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
  .action(async (options) => (await import('./commands/dev.ts')).serve(options))

command('generate', 'makes src/gen/ of proto/: JavaScript, types and descriptors').action(async (options) =>
  (await import('./generated.ts')).generated(options),
)

command('routes', 'lists what is served: each HTTP rule of proto/, what is not served and why, and what conflicts')
  .addHelpText('after', '\nExit code 1: there is a rule that cannot be served, so that the functions would not start.')
  .action(async (options) => (await import('./commands/routes.ts')).routes(options))

command('openapi', 'writes the OpenAPI 3.1 document that the functions have at /openapi.json')
  .option('--out <file>', 'where to; standard output unless given. A name that ends in .yaml or .yml means YAML')
  .addOption(new Option('--format <format>', 'json, unless the name of the file says yaml').choices(['json', 'yaml']))
  .action(async (options) => (await import('./commands/openapi.ts')).openapi(options))

command('descriptors', 'writes proto/ as a FileDescriptorSet, for GATEWAY_DESCRIPTORS and other tools')
  .option('--out <file>', 'where to; standard output unless given')
  .action(async (options) => (await import('./commands/descriptors.ts')).descriptors(options))

command('build [entry]', 'makes dist/ for a deploy: one script with all code, and compile caches')
  .option('--external <package>', 'a package that stays in node_modules, as those with native code do', gathered, [])
  .addHelpText(
    'after',
    '\nentry: the deployed entry point, main of package.json unless given. npm run gcp-build runs this.',
  )
  .action(async (entry, options) => (await import('./commands/build.ts')).build(entry, options))

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
  .action(async (url, options) => (await import('./commands/doctor.ts')).doctor(url, options))

command('call <target>', 'calls pkg.Service/Method, or asks for a path such as /v1/books, and prints what comes back')
  .option(
    '-d, --data <json>',
    'a message: JSON, @file, or - for standard input; more than one for a stream',
    gathered,
    [],
  )
  .option('-H, --header <header>', '"name: value": a header of the request, or metadata of the call', gathered, [])
  .option('-X, --request <verb>', 'the HTTP method for a path; GET, or POST with --data, unless given')
  .option('--url <url>', 'where the functions are; http://localhost:8080, or at PORT, unless given')
  .option('--backend [url]', 'calls the backend straight, without HTTP: the one of BACKEND_URL… unless a URL is given')
  .option('--audience <audience>', 'sends an ID token for it; to a backend one for its https origin goes by itself')
  .option('--schema <file>', 'a FileDescriptorSet, or "reflection"; GATEWAY_DESCRIPTORS or proto/ unless given')
  .option('--timeout <seconds>', '30 for a call without a stream unless given', seconds)
  .option('-v, --verbose', 'tells request, headers, trailers and status, on standard error')
  .addHelpText(
    'after',
    `
  grpc-functions call ping.PingService/Send -d '{"message": "hi"}'
  grpc-functions call '/api/ping?message=hi'
  grpc-functions call ping.PingService/Send -d '{"message": "hi"}' --backend https://ping-xyz.a.run.app

A method goes through the functions by the first of its HTTP rules that takes the message. Answers are printed as they come, one a line.
Exit code: 64 and the gRPC code of a failure (69 for NOT_FOUND, 78 for UNAVAILABLE), as grpcurl has it.`,
  )
  .action(async (target, options) => (await import('./commands/call.ts')).call(target, options))

command('key <name> [methods]', 'makes an API key, and its line for the file of AUTH_API_KEYS')
  .addHelpText('after', '\nmethods: pkg.Service/Method,pkg.Service/Method: those that it may call, all unless given.')
  .action(async (name, methods, options) => (await import('./commands/key.ts')).key(name, methods, options))

/** An option that may be there more than once. */
function gathered(value: string, others: readonly string[]): string[] {
  return [...others, value]
}

/** An option's number of seconds. @throws {InvalidArgumentError} */
function seconds(text: string): number {
  const value = Number(text)
  if (value > 0 && value <= 3600) return value
  throw new InvalidArgumentError('Expected a number of seconds.')
}

/** Adds the options that all commands have. */
function command(name: string, description: string): Command {
  return program.command(name).description(description).option('--json', 'prints JSON')
}
