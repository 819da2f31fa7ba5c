import test from 'ava'
import {Random} from '../soak/random.ts'
import {type BrokenStorage, startBrokenStorage, uploadWithFaults} from './upload-faults.ts'

let broken: BrokenStorage
test.before(async () => {
  broken = await startBrokenStorage()
})
test.afterEach((t) => broken.app.quiet(t))
test.after.always(() => broken.close())

// `npm run fuzz` runs a thousand of them, with a new seed each time.
test('each of fifty uploads with random download faults is stored unchanged, or refused and not stored', async (t) => {
  const random = new Random(7)
  const uploads = Array.from({length: 50}, () => random.fork())
  const upload = async () => {
    for (let next = uploads.pop(); next; next = uploads.pop()) t.is(await uploadWithFaults(broken, next), undefined)
  }
  await Promise.all(Array.from({length: 10}, upload))
})
