/** `node test/fuzz/uploads.ts [runs [seed]]`: uploads objects whose downloads break, and exits with 1 if one is kept in part. */
import {startBrokenStorage, uploadWithFaults} from '../functions/upload-faults.ts'
import {Random} from '../soak/random.ts'

const [runs = 1000, seed = Math.floor(Math.random() * 2 ** 32)] = process.argv.slice(2).map(Number)
const random = new Random(seed)
const uploads = Array.from({length: runs}, () => random.fork())
const broken = await startBrokenStorage()

async function upload(): Promise<void> {
  for (let next = uploads.pop(); next; next = uploads.pop()) {
    const wrong = await uploadWithFaults(broken, next)
    if (wrong === undefined) continue
    console.error(wrong)
    process.exitCode = 1
  }
}

await Promise.all(Array.from({length: 10}, upload))
const {repos} = broken.app.backend.repo
console.error(
  `${runs} uploads, ${repos.length} kept; ${process.exitCode ? 'not all' : 'all'} of them whole (seed ${seed})`,
)
await broken.close()
