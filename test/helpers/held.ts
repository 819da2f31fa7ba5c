/** Bytes in the heap and in buffers of this process after a garbage collection. */
export function held(): number {
  // ava.config.js gives the tests' processes `--expose-gc`. The buffers that a collection finds are freed in the background; the
  // next collection waits for that.
  for (let times = 0; times < 2; times++) globalThis.gc!()
  const {heapUsed, arrayBuffers} = process.memoryUsage()
  return heapUsed + arrayBuffers
}
