import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync} from 'node:fs'
import {join} from 'node:path'
import {dev, type Project} from './dev/dev.ts'
import {localBucket} from './parts.ts'
import {putSamples} from './samples.ts'

/** `npm start`: the functions of this repository as they are being worked on. */
const help = `npm start: serves the functions on PORT (8080) of this machine alone, with a local stack behind them: all of
src/deployed.ts, or the one that FUNCTION_TARGET names. Changes of src/, proto/ and local/ restart them.

What the environment names is not started: BACKEND_URL (gRPC services), STORAGE_EMULATOR_HOST (Storage),
GCE_METADATA_HOST (metadata server). Ctrl-C ends all of it.`

const root = join(import.meta.dirname, '..')

/** This repository. */
export const repository: Project = {
  root,
  hasGenerated: true,
  services: join(import.meta.dirname, 'own-services.ts'),
  folders: {
    protos: ['proto', 'samples/proto'],
    services: ['local', 'samples'],
    functions: ['src'],
    generated: ['src/gen', 'samples/gen'],
  },
  async generate() {
    const child = spawn(process.execPath, [join(root, 'scripts/generate.ts')], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    if (code !== 0) throw new Error('npm run generate failed')
  },
  // Samples are served as long as their services are there.
  async environment(hasOwnServices): Promise<Record<string, string>> {
    const hasSamples = hasOwnServices && existsSync(join(root, 'samples/services.ts'))
    return {
      UPLOAD_CONTEXT: 'creatorId=storage; name={object}',
      ...(!process.env.UPLOAD_BUCKETS && {UPLOAD_SESSIONS: `${localBucket}/incoming/`}),
      ...(hasSamples && {GATEWAY_DESCRIPTORS: join(root, 'samples/gen/descriptors.binpb')}),
    }
  },
  objects: putSamples,
}

if (import.meta.main) {
  if (process.argv.includes('--help')) console.log(help)
  else {
    try {
      process.exit(await dev(repository))
    } catch (error) {
      console.error(error instanceof Error ? error.message : String(error))
      process.exit(1)
    }
  }
}
