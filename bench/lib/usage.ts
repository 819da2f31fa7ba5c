/**
 * Loaded into a process that is measured: answers `usage` with what it has used since it was last asked, and ends with the
 * benchmark, however that ends.
 */
const every = 10

let peak = process.memoryUsage.rss()
let cpu = process.cpuUsage()

setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss())
}, every).unref()

process.on('message', (question) => {
  if (question !== 'usage') return
  const {user, system} = process.cpuUsage(cpu)
  const rss = process.memoryUsage.rss()
  process.send?.({rss, peak: Math.max(peak, rss), cpuSeconds: (user + system) / 1e6})
  peak = rss
  cpu = process.cpuUsage()
})
process.once('disconnect', () => process.exit())
process.channel?.unref()
