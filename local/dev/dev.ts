import {type FunctionsProcess, freePort, startFunctions} from '../functions.ts'
import type {MetadataServer} from '../identity/metadata.ts'
import {localBucket, type Parts, type RunningBackend, startParts} from '../parts.ts'
import {ownOrigins, portOf} from '../serving.ts'
import {onEnd} from '../signals.ts'
import type {StorageServer} from '../storage/server.ts'
import {announcementOf, newRoutes} from './announcement.ts'
import {type Changes, watchFolders} from './changes.ts'
import {type Relay, startRelay} from './relay.ts'
import {type Services, startServices} from './services.ts'

/** A project for the development server. */
export interface Project {
  readonly root: string
  /** The path of a module with `startServices(options)`, which starts the gRPC services of the local stack. */
  readonly services: string
  /** Folders relative to `root`, by the part that their changes affect. */
  readonly folders: {
    readonly protos: readonly string[]
    readonly services: readonly string[]
    readonly functions: readonly string[]
    /** Folders of generated files. */
    readonly generated: readonly string[]
  }
  /** Whether generated files are committed. They are then generated when a proto changes, and not at every start. */
  readonly hasGenerated: boolean
  /** Generates code from the protos. @throws when it fails; the error has been printed */
  generate(): Promise<void>
  /** Defaults for the functions' environment. */
  environment?(hasOwnServices: boolean): Promise<Readonly<Record<string, string>>>
  /** Puts sample objects into Storage. Returns a line for each. */
  objects?(storage: StorageServer): Promise<string[]>
}

export interface DevOptions {
  /** The function to serve: FUNCTION_TARGET unless given. If neither is given, all functions are served. */
  readonly target?: string | undefined
  /** Whether messages are lines of JSON, one for each event: `ready`, `restarted`, `failed`, `stopped`. */
  readonly json?: boolean
}

/** The audience of tokens for the functions. */
const audience = 'local'

/** The target that stands for all functions of the table. */
const all = 'all'

/** The name of the function that receives events of new Storage objects, if it exists. */
const finalized = 'finalized'

/** Text for a process that has ended by itself. */
const restarting = 'they start again at the next change'

/** Timeout until functions listen, in ms. Functions that never listen must not prevent the next change from being served. */
const patience = 60_000

/** Grace period of replaced functions for their requests in flight, in ms. */
const grace = 2000

/**
 * Serves the functions of a project on PORT of this machine, in front of a local stack, until a signal ends it. Restarts functions or
 * services when their files change. Running functions are kept until the new ones are ready, also after an error.
 * @returns the exit code
 * @throws {Error} when it cannot start
 */
export async function dev(project: Project, options: DevOptions = {}): Promise<number> {
  const server = new DevServer(project, options)
  onEnd((signal) => server.stop(signal))
  try {
    await server.start()
    await server.follow()
    return 0
  } catch (error) {
    if (server.stopping) return 0
    throw error
  } finally {
    await server.close()
  }
}

class DevServer {
  readonly #project: Project
  readonly #target: string
  readonly #json: boolean
  readonly #ended = Promise.withResolvers<void>()
  #relay: Relay | undefined
  /** The relay in front of the services, so that their URL stays the same. */
  #servicesRelay: Relay | undefined
  #parts: Parts<RunningBackend> | undefined
  #services: Services | undefined
  #functions: FunctionsProcess | undefined
  #changes: Changes | undefined
  #ownEnvironment: Readonly<Record<string, string>> = {}
  /** Functions that are running, whether they are served or not. */
  readonly #running = new Set<FunctionsProcess>()
  /** Changed paths that are not served yet, because of an error. */
  readonly #unserved = new Set<string>()
  stopping = false

  constructor(project: Project, {target = process.env.FUNCTION_TARGET || all, json = false}: DevOptions) {
    this.#project = project
    this.#target = target
    this.#json = json
  }

  get url(): string {
    return `http://localhost:${this.#relay?.port}`
  }

  async start(): Promise<void> {
    const {root, folders, environment, objects} = this.#project
    const port = portOf(process.env)
    this.#relay = await startRelay(port)
    const tokens = await portForTokens(port)
    this.#parts = await startParts(process.env, ({iam}) => this.#startBackend(iam), tokens)
    const {backend, storage} = this.#parts
    const stored = storage && objects ? await objects(storage) : []
    this.#ownEnvironment = {...(await environment?.(backend !== undefined))}
    const watched = [...folders.protos, ...folders.services, ...folders.functions]
    this.#changes = await watchFolders(root, watched, folders.generated)
    this.#functions = await this.#startFunctions()
    this.#relay.passTo(this.#functions.said.port)
    this.#sendEvents()
    if (!this.#json) console.log(this.#announcement(stored))
    if (await this.#answers()) {
      const {functions, schema} = this.#functions.said
      this.#say('ready', {url: this.url, functions, routes: schema?.routes}, `ready ${this.url}`)
    }
  }

  /** Sends an event of each new Storage object to a function named `finalized`, as Eventarc does. */
  #sendEvents(): void {
    const {storage, metadata} = this.#parts!
    const {functions = []} = this.#functions!.said
    const isAlone = this.#target === finalized
    if (!storage || !(isAlone || (this.#target === all && functions.includes(finalized)))) return
    storage.notify({
      url: isAlone ? this.url : `${this.url}/${finalized}`,
      async headers(): Promise<Record<string, string>> {
        return isOwnIssuer() && metadata ? {authorization: `Bearer ${await metadata.mint({audience})}`} : {}
      },
    })
  }

  /** Restarts processes after changes, until the end. */
  async follow(): Promise<void> {
    while (!this.stopping) {
      const paths = await Promise.race([this.#changes!.next(), this.#ended.promise])
      if (paths) await this.#restart(paths)
    }
  }

  stop(signal: 'SIGINT' | 'SIGTERM'): void {
    this.stopping = true
    // A terminal's signal has reached them already; a second one does no harm.
    for (const functions of this.#running) functions.process.kill(signal)
    this.#ended.resolve()
    if (!this.#functions) process.exit(0)
  }

  async close(): Promise<void> {
    for (const functions of this.#running) functions.process.kill('SIGTERM')
    await Promise.all([...this.#running].map(({exited}) => exited))
    await Promise.all([this.#changes?.[Symbol.asyncDispose](), this.#relay?.close(), this.#servicesRelay?.close()])
    await this.#services?.close()
    await this.#parts?.close()
  }

  async #startBackend(iam: MetadataServer | undefined): Promise<RunningBackend> {
    this.#servicesRelay = await startRelay(0, (socket) => socket.destroy())
    this.#services = await this.#startServices(iam)
    this.#servicesRelay.passTo(this.#services.port)
    return {url: this.#servicesRelay.url, close: async () => {}}
  }

  async #startServices(iam = this.#parts?.metadata): Promise<Services> {
    const {root, services: module} = this.#project
    const issuer = iam && {name: iam.issuer, keys: iam.jwksUrl}
    const services = await startServices(root, {module, issuer, audience: this.#servicesRelay!.url})
    void services.exited.then((code) => {
      if (this.stopping || this.#services !== services) return
      this.#unserved.add(`${this.#project.folders.services[0]}/`)
      this.#say('stopped', {code}, `stopped    the services ended with exit code ${code}: ${restarting}`)
    })
    return services
  }

  async #startFunctions(): Promise<FunctionsProcess> {
    const parts = this.#parts!
    const env = {
      CONSOLE: 'true',
      MCP: 'true',
      CORS_ORIGINS: ownOrigins,
      GATEWAY_WEBSOCKET: 'true',
      ...this.#ownEnvironment,
      ...issuerOf(parts),
      ...process.env,
      ...parts.env,
    }
    const functions = await startFunctions({
      root: this.#project.root,
      target: this.#target,
      port: 0,
      env,
      output: 'inherit',
      loopback: true,
      source: true,
      patience,
    })
    this.#running.add(functions)
    void functions.exited.then((code) => {
      this.#running.delete(functions)
      if (this.stopping || this.#functions !== functions) return
      this.#relay?.passTo(undefined)
      this.#say('stopped', {code}, `stopped    the functions ended with exit code ${code}: ${restarting}`)
    })
    return functions
  }

  async #restart(changed: readonly string[]): Promise<void> {
    const began = performance.now()
    const paths = [...new Set([...this.#unserved, ...changed])]
    this.#unserved.clear()
    const old = this.#functions!
    const what = shortList(changed)
    // Requests from now on wait for the new functions.
    this.#relay!.hold()
    try {
      if (this.#isIn(paths, 'protos')) await this.#project.generate()
      await this.#replace({
        services: this.#services !== undefined && (this.#isIn(paths, 'protos') || this.#isIn(paths, 'services')),
        functions: this.#isIn(paths, 'protos') || this.#isIn(paths, 'functions'),
      })
      const seconds = Number(((performance.now() - began) / 1000).toFixed(1))
      const more = newRoutes(old.said.schema, this.#functions?.said.schema)
      this.#say('restarted', {paths, seconds}, `restarted  in ${seconds} s, as ${what} changed${more}`)
    } catch (error) {
      for (const path of paths) this.#unserved.add(path)
      const why = error instanceof Error ? error.message : String(error)
      const alive = this.#running.has(this.#functions!)
      if (!this.stopping) {
        const rest = alive ? '; the previous functions still answer' : ''
        this.#say('failed', {paths, message: why}, `failed     as ${what} changed: ${why}${rest}`)
      }
      this.#relay!.passTo(alive ? this.#functions!.said.port : undefined)
    }
  }

  /** Starts replacements. If one of them fails, nothing is replaced. */
  async #replace(what: {readonly services: boolean; readonly functions: boolean}): Promise<void> {
    const old = {services: this.#services, functions: this.#functions!}
    const services = what.services ? await this.#startServices() : undefined
    let functions: FunctionsProcess | undefined
    try {
      // New services come first: they may have new methods for the new functions, and usually still have all old ones.
      if (services) this.#servicesRelay!.passTo(services.port)
      functions = what.functions || !this.#running.has(old.functions) ? await this.#startFunctions() : undefined
    } catch (error) {
      if (services) {
        this.#servicesRelay!.passTo(old.services!.port)
        await services.close()
      }
      throw error
    }
    if (services) this.#services = services
    if (functions) this.#functions = functions
    this.#relay!.passTo(this.#functions!.said.port)
    if (functions) await this.#end(old.functions)
    if (services) await old.services!.close()
  }

  /** Ends replaced functions. */
  async #end(functions: FunctionsProcess): Promise<void> {
    functions.process.kill('SIGTERM')
    const timer = setTimeout(() => functions.process.kill('SIGKILL'), grace)
    await functions.exited
    clearTimeout(timer)
  }

  #isIn(paths: readonly string[], kind: 'protos' | 'services' | 'functions'): boolean {
    const folders = this.#project.folders[kind]
    return paths.some((path) => folders.some((folder) => path.startsWith(`${folder}/`)))
  }

  #announcement(objects: readonly string[]): string {
    const {backend, storage, metadata} = this.#parts!
    return announcementOf({
      url: this.url,
      target: this.#target === all ? undefined : this.#target,
      said: this.#functions!.said,
      token: metadata && isOwnIssuer() ? identityUrl(metadata.host) : undefined,
      parts: [
        ...(this.#hasPage ? [['page', `${this.url}/`] as const] : []),
        ['backend', backend?.url ?? process.env.BACKEND_URL ?? 'as BACKEND_URL_… says'],
        ['storage', storage?.url ?? process.env.STORAGE_EMULATOR_HOST ?? ''],
        ...objects.map((object) => ['', `gs://${localBucket}/${object}`] as const),
        ...(metadata ? [['metadata', `http://${metadata.host}`] as const] : []),
      ],
    })
  }

  get #hasPage(): boolean {
    return [all, 'app', 'gateway'].includes(this.#target) && process.env.CONSOLE !== 'false'
  }

  #say(event: string, fields: object, line: string): void {
    if (this.#json) console.log(JSON.stringify({event, ...fields}))
    else if (event === 'ready' || event === 'restarted') console.log(line)
    else console.error(line)
  }

  /** Waits until every part answers, and reports those that do not yet. Returns false when the functions have ended. */
  async #answers(): Promise<boolean> {
    const metadata = this.#parts!.metadata
    const headers: Record<string, string> =
      isOwnIssuer() && metadata ? {authorization: `Bearer ${await metadata.mint({audience})}`} : {}
    for (let said = ''; !this.stopping && this.#running.size > 0; await pause()) {
      const response = await fetch(`${this.url}/health`, {headers}).catch(() => undefined)
      if (!response) continue
      if (response.status === 401) {
        console.log('note       /health is closed, so nothing is known of the backend: AUTH_PUBLIC=/health opens it')
        return true
      }
      const {error, backends} = (await response.json().catch(() => ({}))) as Partial<Health>
      // Without a health function nothing more is known.
      if (!error || !backends) {
        for (const {url, note} of backends ?? []) if (note) console.log(`note       ${url}: ${note}`)
        return true
      }
      if (error.message !== said) console.error(`Not ready: ${error.message}`)
      said = error.message
    }
    return false
  }
}

function shortList(paths: readonly string[]): string {
  const more = paths.length - 2
  return more > 0 ? `${paths.slice(0, 2).join(', ')} and ${more} more` : paths.join(', ')
}

/** The answer of `/health`. */
interface Health {
  readonly backends: readonly {readonly url: string; readonly note?: string}[]
  readonly error?: {readonly message: string}
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1000))
}

/** Whether callers are authenticated by tokens of the local metadata server. */
function isOwnIssuer(): boolean {
  const {AUTH, AUTH_ISSUERS, AUTH_API_KEYS, AUTH_WEBHOOK} = process.env
  return AUTH === 'jwt' && !AUTH_ISSUERS && !AUTH_API_KEYS && !AUTH_WEBHOOK
}

/** The port of the metadata server: with AUTH=jwt the one after PORT, as README says. */
async function portForTokens(port: number): Promise<number> {
  if (!isOwnIssuer() || port === 0) return 0
  return await freePort(port + 1).catch(() => 0)
}

function issuerOf({metadata}: Parts<RunningBackend>): Record<string, string> {
  if (!isOwnIssuer() || !metadata) return {}
  return {AUTH_ISSUERS: `${metadata.issuer} audience=${audience} jwks=${metadata.jwksUrl}`}
}

function identityUrl(host: string): string {
  return `http://${host}/computeMetadata/v1/instance/service-accounts/default/identity?audience=${audience}`
}
