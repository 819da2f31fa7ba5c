const {NODE_COMPILE_CACHE} = process.env

/**
 * Node's cache of compiled code, for a process that gets its own environment and runs this project's source. It saves a third of
 * the CPU of its start, and changes nothing else.
 */
export const compileCache: Readonly<Record<string, string>> = NODE_COMPILE_CACHE ? {NODE_COMPILE_CACHE} : {}
