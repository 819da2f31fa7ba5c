import {setFlagsFromString} from 'node:v8'
import {startBackend} from '../../local/grpc/backend.ts'
import {startParts} from '../../local/parts.ts'
import {pattern} from '../../local/samples.ts'
import {sampleBucket} from '../../local/stack.ts'
import {KindsService, silence} from '../../test/clients/kinds.ts'
import type {StackOptions} from './processes.ts'

// As in local/backend-main.ts: the receiver must not limit the sender.
setFlagsFromString('--scavenger-max-new-space-capacity-mb=8')

/** The local stack in its own process, so that its cost is not measured with that of the functions. */
const {window, size, others = {}, open = false} = JSON.parse(process.argv[2] ?? '{}') as StackOptions
const kinds = new KindsService()
kinds.handle({
  /** Counts down. For a negative number it sends only this number, and then nothing until the call ends. */
  async *down({value}, context) {
    for (let left = value; left > 0; left--) yield {value: left}
    if (value >= 0) return
    yield {value}
    await silence(context)
  },
})
const stack = await startParts({}, ({iam}) =>
  startBackend({services: [kinds], ...(window && {window}), iam: open ? undefined : iam}),
)
/** The checksums of the objects. */
const crcs = new Set<string | undefined>()
for (const [name, length] of Object.entries({object: size, ...others})) {
  crcs.add((await stack.storage?.put(sampleBucket, name, pattern(length)))?.crc32c)
}

process.on('message', (question) => {
  if (question === 'repos') {
    process.send?.(stack.backend?.repo.repos.map(({size, crc32c}) => ({size, crc32c, whole: crcs.has(crc32c)})))
  }
  if (question === 'stop') stack.close().then(() => process.exit(0))
})
process.once('disconnect', () => process.exit())
process.send?.(stack.env)
