import {existsSync} from 'node:fs'
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'
import {PingService} from '../src/gen/ping/ping_pb.js'
import {Repo} from '../src/gen/repo_pb.js'
import type {BackendOptions} from './grpc/backend.ts'
import type {Service} from './grpc/service.ts'
import {servicesOf, unimplemented} from './project.ts'

const root = join(import.meta.dirname, '..')

/** What samples/services.ts has. */
interface Samples {
  readonly services: readonly Service[]
  /** The file of the schema that the gateway is to serve. */
  readonly descriptors: string
}

/** Samples are removable: there are none without their folder. */
export async function samples(): Promise<Samples | undefined> {
  const file = join(root, 'samples/services.ts')
  return existsSync(file) ? ((await import(pathToFileURL(file).href)) as Samples) : undefined
}

/** The services that `npm start` has beside ping and repo: those of local/services.ts, and those of the samples. */
export async function addedServices(): Promise<Pick<BackendOptions, 'services' | 'unimplemented'>> {
  const own = await servicesOf(root, [PingService.typeName, Repo.typeName])
  return {services: [...own, ...((await samples())?.services ?? [])], unimplemented}
}
