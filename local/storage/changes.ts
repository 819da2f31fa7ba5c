import {checkRead, conditionsOf, whenMet} from './conditions.ts'
import {StorageError} from './error.ts'
import {type Exchange, nameOf, readJson, send, sendJson} from './exchange.ts'
import {type ObjectMetadata, writableOf} from './resource.ts'

/** POST /b?project=… */
export async function createBucket(exchange: Exchange): Promise<void> {
  const {name, ...options} = await readJson(exchange)
  if (typeof name !== 'string' || name === '') throw new StorageError(400, 'Required')
  sendJson(exchange, exchange.store.createBucket(name, options))
}

export function getBucket(exchange: Exchange): void {
  sendJson(exchange, exchange.store.bucket(exchange.route.bucket!).metadata)
}

export async function patchBucket(exchange: Exchange): Promise<void> {
  const patch = await readJson(exchange)
  sendJson(exchange, exchange.store.patchBucket(exchange.route.bucket!, patch))
}

export function deleteBucket(exchange: Exchange): void {
  exchange.store.deleteBucket(exchange.route.bucket!)
  send(exchange, 204)
}

export function getObject(exchange: Exchange): void {
  const version = exchange.store.find(nameOf(exchange), generationOf(exchange))
  checkRead(conditionsOf(exchange), version)
  sendJson(exchange, version.metadata)
}

export async function patchObject(exchange: Exchange): Promise<void> {
  const patch = await readJson(exchange)
  const version = exchange.store.find(nameOf(exchange), generationOf(exchange))
  whenMet(conditionsOf(exchange))(version)
  sendJson(exchange, exchange.store.patch(version, patch))
}

export function deleteObject(exchange: Exchange): void {
  exchange.store.delete(nameOf(exchange), generationOf(exchange), whenMet(conditionsOf(exchange)))
  send(exchange, 204)
}

/** POST …/rewriteTo/b/{bucket}/o/{object}: always completed by the first request. */
export async function rewriteObject(exchange: Exchange): Promise<void> {
  const resource = await copy(exchange)
  sendJson(exchange, {
    kind: 'storage#rewriteResponse',
    totalBytesRewritten: resource.size,
    objectSize: resource.size,
    done: true,
    resource,
  })
}

/** POST …/copyTo/b/{bucket}/o/{object} */
export async function copyObject(exchange: Exchange): Promise<void> {
  sendJson(exchange, await copy(exchange))
}

async function copy(exchange: Exchange): Promise<ObjectMetadata> {
  const said = await readJson(exchange)
  const source = exchange.store.find(nameOf(exchange), exchange.route.query.get('sourceGeneration') ?? undefined)
  whenMet(conditionsOf(exchange, 'ifSource'))(source)
  // Metadata in the request replaces all metadata of the source.
  const about = writableOf(Object.keys(said).length > 0 ? said : source.metadata)
  return exchange.store.copy(source, exchange.route.to!, about, whenMet(conditionsOf(exchange)))
}

function generationOf(exchange: Exchange): string | undefined {
  return exchange.route.query.get('generation') ?? undefined
}
