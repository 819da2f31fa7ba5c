/** How often we look whether npm is still there, in ms. */
const interval = 500

/**
 * Calls `end` when the npm that runs this process is gone. npm passes SIGTERM on, but killed by SIGKILL it tells nobody:
 * this process would go on and keep its port. Without npm it does nothing, so that a process may outlive its shell.
 */
export function endWithNpm(end: () => void): void {
  const parent = process.ppid
  if (!process.env.npm_lifecycle_event) return
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    end()
  }, interval).unref()
}
