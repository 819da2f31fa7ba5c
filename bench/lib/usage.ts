/**
 * Loaded into a process that is measured: answers `usage` with what it has used since it was last asked, and ends with the
 * benchmark, however that ends.
 */
const every = 10

let peak = process.memoryUsage.rss()
let cpu = process.cpuUsage()

/** In CPU rather than in time: on a busy machine the process is kept from the loop by others. It costs CPU itself. */
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
  if (question !== 'usage') return
  const {user, system} = process.cpuUsage(cpu)
  const rss = process.memoryUsage.rss()
  process.send?.({rss, peak: Math.max(peak, rss), cpuSeconds: (user + system) / 1e6, hold})
  hold = 0
  peak = rss
  cpu = process.cpuUsage()
})
process.once('disconnect', () => process.exit())
process.channel?.unref()
