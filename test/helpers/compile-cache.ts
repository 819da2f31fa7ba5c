const {NODE_COMPILE_CACHE} = process.env

/**
 * Where Node keeps the code that it has compiled. For a process that gets an environment of its own and runs this project's source:
 * it saves a third of the CPU of its start, and changes nothing else.
 */
export const compileCache: Readonly<Record<string, string>> = NODE_COMPILE_CACHE ? {NODE_COMPILE_CACHE} : {}
