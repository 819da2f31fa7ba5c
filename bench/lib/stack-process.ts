import {setFlagsFromString} from 'node:v8'
import {pattern} from '../../local/samples.ts'
import {sampleBucket, startStack} from '../../local/stack.ts'
import {KindsService} from '../../test/clients/kinds.ts'

// As local/backend-main.ts has it: the receiving end must not be what limits the sending one.
setFlagsFromString('--scavenger-max-new-space-capacity-mb=8')

/** The local stack in a process of its own, so that what is measured of the functions is theirs alone. */
const {window, size} = JSON.parse(process.argv[2] ?? '{}') as {window?: number; size: number}
const stack = await startStack({}, {services: [new KindsService()], ...(window && {window})})
const object = await stack.storage?.put(sampleBucket, 'object', pattern(size))

process.on('message', (question) => {
  if (question === 'repos') {
    process.send?.(
      stack.backend?.repo.repos.map(({size, crc32c}) => ({size, crc32c, whole: crc32c === object?.crc32c})),
    )
  }
  if (question === 'stop') stack.close().then(() => process.exit(0))
})
process.once('disconnect', () => process.exit())
process.send?.(stack.env)
