/** The origins of pages that are developed on this machine, for CORS_ORIGINS. */
export const ownOrigins = ['localhost', '127.0.0.1', '[::1]']
  .flatMap((host) => [`http://${host}:*`, `https://${host}:*`])
  .join()

/**
 * The port that `env` has the functions listen on; 0 for any.
 * @throws {Error} naming PORT when it is none
 */
export function portOf(env: Readonly<Record<string, string | undefined>>): number {
  const port = Number(env.PORT || 8080)
  if (Number.isInteger(port) && port >= 0 && port <= 65535) return port
  throw new Error(`PORT="${env.PORT}": expected a port, or 0 for any`)
}
