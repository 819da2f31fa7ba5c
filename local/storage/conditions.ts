import {StorageError} from './error.ts'
import {type Exchange, headerOf} from './exchange.ts'
import type {Check, Version} from './store.ts'

const conditions = ['GenerationMatch', 'GenerationNotMatch', 'MetagenerationMatch', 'MetagenerationNotMatch'] as const

/** The preconditions of a request, such as `ifGenerationMatch`. Generation 0 means that the object does not exist. */
export type Conditions = Partial<Record<(typeof conditions)[number], string>>

/** Reads preconditions from the query, or from the XML API's headers. `prefix` is `ifSource` for the source of a copy. */
export function conditionsOf(exchange: Exchange, prefix = 'if'): Conditions {
  const found: Conditions = {}
  for (const name of conditions) {
    const header = `x-goog-if${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    const value = exchange.route.query.get(prefix + name) ?? (prefix === 'if' ? headerOf(exchange, header) : undefined)
    if (value !== undefined && value !== null) found[name] = value
  }
  return found
}

/** Throws 412 unless all preconditions are met. */
export function whenMet(conditions: Conditions): Check {
  return (version) => {
    if (!mustMatch(conditions, version) || !mustDiffer(conditions, version)) throw new StorageError(412)
  }
}

/** For reads: throws 412, or 304 when the client already has this version. */
export function checkRead(conditions: Conditions, version: Version): void {
  if (!mustMatch(conditions, version)) throw new StorageError(412)
  if (!mustDiffer(conditions, version)) throw new StorageError(304)
}

function mustMatch({GenerationMatch, MetagenerationMatch}: Conditions, version?: Version): boolean {
  return (
    (GenerationMatch === undefined || generationOf(version) === GenerationMatch) &&
    (MetagenerationMatch === undefined || version?.metadata.metageneration === MetagenerationMatch)
  )
}

function mustDiffer({GenerationNotMatch, MetagenerationNotMatch}: Conditions, version?: Version): boolean {
  return (
    (GenerationNotMatch === undefined || generationOf(version) !== GenerationNotMatch) &&
    (MetagenerationNotMatch === undefined || version?.metadata.metageneration !== MetagenerationNotMatch)
  )
}

function generationOf(version?: Version): string {
  return version?.metadata.generation ?? '0'
}
