import {existsSync} from 'node:fs'
import {join} from 'node:path'
import {pathToFileURL} from 'node:url'
import {PingService} from '../src/gen/ping/ping_pb.js'
import {Repo} from '../src/gen/repo_pb.js'
import type {BackendOptions} from './grpc/backend.ts'
import type {Service} from './grpc/service.ts'
import {servicesOf, unimplemented} from './project.ts'

const root = join(import.meta.dirname, '..')

/** The exports of samples/services.ts. */
interface Samples {
  readonly services: readonly Service[]
  /** Path of the schema for the gateway. */
  readonly descriptors: string
}

/** The samples; undefined if their folder was deleted. */
export async function samples(): Promise<Samples | undefined> {
  const file = join(root, 'samples/services.ts')
  return existsSync(file) ? ((await import(pathToFileURL(file).href)) as Samples) : undefined
}

/** The services of `npm start` beside ping and repo: those of local/services.ts, and those of the samples. */
export async function addedServices(): Promise<Pick<BackendOptions, 'services' | 'unimplemented'>> {
  const own = await servicesOf(root, [PingService.typeName, Repo.typeName])
  return {services: [...own, ...((await samples())?.services ?? [])], unimplemented}
}
