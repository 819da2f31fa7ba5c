// Loaded before a package: prints what the import opens, leaves running or reads. One JSON line per import, on standard output.
import {createHook} from 'node:async_hooks'
import {pathToFileURL} from 'node:url'

const lasting = /^(Timeout|Immediate|TCP|UDP|PIPE|TTY|PROCESS|SIGNAL|FSEVENT|GETADDRINFO|WORKER|MESSAGEPORT)/i
const ours = /\/node_modules\/(grpc-functions(-dev)?\/[^:)]*)/
let done = []

// Node opens these at first access, which a package may make only to find out whether it has a terminal.
void [process.stdout, process.stderr]

Error.stackTraceLimit = 50

/** Our nearest file in the stack, if there is one. */
const nearest = () => ours.exec(new Error().stack)?.[1]

createHook({init: (_id, type) => void (lasting.test(type) && done.push(`opens ${type} ${nearest() ?? ''}`))}).enable()

/** Our file that reads or listens directly, which is `frames` frames above the one that asks. */
const caller = (frames) => ours.exec(new Error().stack.split('\n')[2 + frames] ?? '')?.[1]
const reads = (name) => {
  const file = caller(2)
  if (file) done.push(`reads ${String(name)} in ${file}`)
}
process.env = new Proxy(process.env, {
  get(env, name) {
    reads(name)
    return Reflect.get(env, name)
  },
  has(env, name) {
    reads(name)
    return Reflect.has(env, name)
  },
  ownKeys(env) {
    reads('all')
    return Reflect.ownKeys(env)
  },
})

const {on} = process
process.on = process.addListener = (event, listener) => {
  const file = caller(1)
  if (file) done.push(`listens to ${event} in ${file}`)
  return on.call(process, event, listener)
}

const [folder, ...imports] = process.argv.slice(2)
const {createRequire} = await import('node:module')
const {resolve} = createRequire(`${folder}/package.json`)
for (const name of imports) {
  done = []
  const given = await import(pathToFileURL(resolve(name)).href)
  await new Promise((settled) => process.nextTick(settled))
  const effects = done
  console.log(JSON.stringify({name, effects, exported: Object.keys(given).length}))
}
