/** The deployed entry point: registers the function that FUNCTION_TARGET names, and loads no other one's code. */
try {
  const {register} = await import('./register.ts')
  await register()
} catch (error) {
  const line = error instanceof Error && error.name === 'ConfigError' ? error.message : (error as Error).stack
  process.stderr.write(`${line}\n`)
  process.exit(1)
}
