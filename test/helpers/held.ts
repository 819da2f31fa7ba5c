/** Bytes that this process holds after a collection, in its heap and in buffers. */
export function held(): number {
  // The tests' processes have `--expose-gc` from ava.config.js. The buffers that one collection finds are freed beside the program: the
  // next one waits for that.
  for (let times = 0; times < 2; times++) globalThis.gc!()
  const {heapUsed, arrayBuffers} = process.memoryUsage()
  return heapUsed + arrayBuffers
}
