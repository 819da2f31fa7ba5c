const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.'

/** `count` variants of `text`, each with a small change, and none equal to it. */
export function* mutated(text: string, count: number, seed: number): Generator<string> {
  const random = randomFrom(seed)
  const upTo = (limit: number) => Math.floor(random() * limit)
  const character = () => characters[upTo(characters.length)]!
  const changes: readonly ((text: string, at: number) => string)[] = [
    (text, at) => text.slice(0, at) + character() + text.slice(at + 1),
    (text, at) => text.slice(0, at) + text.slice(at + 1),
    (text, at) => text.slice(0, at) + character() + text.slice(at),
    (text, at) => text.slice(0, at) + flipped(text[at] ?? 'A') + text.slice(at + 1),
    (text, at) => text.slice(0, at) + (text[at + 1] ?? '') + (text[at] ?? '') + text.slice(at + 2),
    (text, at) => text.slice(0, at),
    (text, at) => text + text.slice(at),
  ]
  for (let made = 0; made < count; ) {
    let mutation = text
    for (let times = 1 + upTo(3); times > 0; times--) {
      mutation = changes[upTo(changes.length)]!(mutation, upTo(mutation.length))
    }
    if (mutation === text) continue
    made++
    yield mutation
  }
}

/** The character that differs only in the last bit of its value. */
function flipped(character: string): string {
  return characters[characters.indexOf(character) ^ 1] ?? 'A'
}

/** mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
