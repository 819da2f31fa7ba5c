import {monitorEventLoopDelay} from 'node:perf_hooks'
import {setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'

/**
 * Loaded into a measured process: answers the message `usage` with the resources used since the last question, and ends the process
 * when the benchmark ends, for any reason. `collected` answers the same after a collection of all garbage.
 */
const every = 10

let peak = process.memoryUsage.rss()
let cpu = process.cpuUsage()

/** The longest delay of timers, in ns, in wall-clock time: it includes all other work of the machine. */
const delays = process.env.MEASURE_HOLD ? monitorEventLoopDelay({resolution: 1}) : undefined
delays?.enable()

/** Measured in CPU time, because on a busy machine other processes delay the event loop. The measurement itself costs CPU. */
let hold = 0
if (process.env.MEASURE_HOLD) {
  let last = process.threadCpuUsage()
  setInterval(() => {
    const {user, system} = process.threadCpuUsage(last)
    hold = Math.max(hold, (user + system) / 1000)
    last = process.threadCpuUsage()
  }, 1).unref()
}

setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss())
}, every).unref()

process.on('message', (question) => {
  if (question !== 'usage' && question !== 'collected') return
  if (question === 'collected') collect()
  const {user, system} = process.cpuUsage(cpu)
  const rss = process.memoryUsage.rss()
  process.send?.({
    rss,
    heap: process.memoryUsage().heapUsed,
    peak: Math.max(peak, rss),
    cpuSeconds: (user + system) / 1e6,
    hold,
    delay: (delays?.max ?? 0) / 1e6,
  })
  hold = 0
  delays?.reset()
  peak = rss
  cpu = process.cpuUsage()
})
process.once('disconnect', () => process.exit())
process.channel?.unref()

function collect(): void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  for (let times = 0; times < 3; times++) gc()
}
