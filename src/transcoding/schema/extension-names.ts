import type {FileRegistry} from '@bufbuild/protobuf'
import {LazyRegistry} from './lazy-registry.ts'

/** The full names of the extensions that give the message `extendee` a field `number`. Decodes no file. */
export function extensionNames(registry: FileRegistry, extendee: string, number: number): readonly string[] {
  if (registry instanceof LazyRegistry) return registry.extensionNames(extendee, number)
  const extensions = [...registry].filter((type) => type.kind === 'extension')
  return extensions
    .filter((extension) => extension.number === number && extension.extendee.typeName === extendee)
    .map(({typeName}) => typeName)
}
