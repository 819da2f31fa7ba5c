/** Interval of checks whether npm is still running, in ms. */
const interval = 500

/**
 * Calls `end` when the npm that runs this process has ended. npm passes SIGTERM on, but after SIGKILL of npm this process would keep
 * running and keep its port. Without npm this does nothing, so that a process may outlive its shell.
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
