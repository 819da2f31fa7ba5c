import {existsSync, readFileSync} from 'node:fs'
import {join, relative} from 'node:path'
import {pathToFileURL} from 'node:url'
import {createFileRegistry, type DescService, fromBinary} from '@bufbuild/protobuf'
import {FileDescriptorSetSchema} from '@bufbuild/protobuf/wkt'
import {type FunctionsProcess, startFunctions} from './functions.ts'
import {startServer} from './grpc/server.ts'
import {type Service, service} from './grpc/service.ts'
import {type Env, type Parts, startParts} from './parts.ts'

export interface LocalOptions {
  /** The project's folder; the working directory unless given. */
  readonly root?: string
  /** Name of the function to serve; `app` unless given. */
  readonly target?: string
  /** The port on this machine; default: any free one. */
  readonly port?: number
  /** The functions' environment, in addition to that of the stack: `process.env` unless given. Parts of the stack that it replaces are not started. */
  readonly env?: Env
  /** `inherit` shows the functions' output in that of this process. Unless given, only errors are logged. */
  readonly output?: 'inherit'
}

/** A project that is served on this machine, and its local stack. */
export interface Local extends Parts, AsyncDisposable {
  /** `http://localhost:PORT` */
  readonly url: string
  readonly functions: FunctionsProcess
}

/** The message of UNIMPLEMENTED for a method of proto/ without a handler. */
export function unimplemented({parent, name}: {parent: DescService; name: string}): string {
  return `${parent.typeName}/${name} is not implemented: add it to ${servicesFile}`
}

/** The file of a project with the services of its stack. */
const servicesFile = 'local/services.ts'

/**
 * Serves a project's functions with the real functions-framework in front of a local stack: a gRPC server with the services
 * of the project's local/services.ts behind an IAM check like Cloud Run's, a metadata server, and Storage. A method of proto/
 * that is not implemented there answers UNIMPLEMENTED, with a message that says so.
 * @throws {Error} when the functions end before they listen; their output has the reason
 * @example
 * const local = await startLocal()
 * const response = await fetch(`${local.url}/v1/greetings/Ada`)
 * await local.close()
 */
export async function startLocal(options: LocalOptions = {}): Promise<Local> {
  const {root = process.cwd(), target = 'app', port = 0, env = process.env, output} = options
  const services = await servicesOf(root)
  const stack = await startParts(env, (given) => startServer({...given, services, unimplemented}))
  try {
    const functions = await startFunctions({
      root,
      target,
      port,
      env: {...(output ? {} : {LOG_LEVEL: 'error'}), ...env, ...stack.env},
      output: 'inherit',
      loopback: true,
    })
    const close = async () => {
      functions.process.kill()
      await functions.exited
      await stack.close()
    }
    return {...stack, url: functions.url, functions, close, [Symbol.asyncDispose]: close}
  } catch (error) {
    await stack.close()
    throw error
  }
}

/**
 * The services of local/services.ts, and all other services of proto/, without handlers.
 * @param elsewhere full names of services to leave out
 */
export async function servicesOf(root: string, elsewhere: readonly string[] = []): Promise<Service[]> {
  const file = [servicesFile, servicesFile.replace(/ts$/, 'js')].map((name) => join(root, name)).find(existsSync)
  const {services = []} = file ? ((await import(pathToFileURL(file).href)) as {services?: readonly Service[]}) : {}
  if (!Array.isArray(services)) {
    throw new Error(`${relative(root, file ?? '')}: expected "services" to be a list of service(…)`)
  }
  const implemented = new Set([...elsewhere, ...services.map((each: Service) => each.implement({}).service.typeName)])
  const others = declared(root).filter(({typeName}) => !implemented.has(typeName))
  return [...services, ...others.map((desc) => service(desc, {}))]
}

/** The services of the project's own schema. Those of google.* are left out, because they are only imported for their messages. */
function declared(root: string): DescService[] {
  const path = join(root, 'src/gen/descriptors.binpb')
  if (!existsSync(path)) return []
  const files = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(path)))
  return [...files].filter((type) => type.kind === 'service').filter(({typeName}) => !typeName.startsWith('google.'))
}
