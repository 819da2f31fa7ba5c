/** A map whose values are made when they are first asked for. */
export class LazyMap<Key, Value> implements ReadonlyMap<Key, Value> {
  readonly #keys: readonly Key[]
  #set: ReadonlySet<Key> | undefined
  readonly #make: (key: Key) => Value
  readonly #made = new Map<Key, Value>()

  /** @param keys different ones */
  constructor(keys: readonly Key[], make: (key: Key) => Value) {
    this.#keys = keys
    this.#make = make
  }

  get size(): number {
    return this.#keys.length
  }

  has(key: Key): boolean {
    this.#set ??= new Set(this.#keys)
    return this.#set.has(key)
  }

  get(key: Key): Value | undefined {
    const known = this.#made.get(key)
    if (known !== undefined || !this.has(key)) return known
    const made = this.#make(key)
    this.#made.set(key, made)
    return made
  }

  keys() {
    return this.#keys.values()
  }

  values() {
    return this.keys().map((key) => this.get(key)!)
  }

  entries() {
    return this.keys().map((key): [Key, Value] => [key, this.get(key)!])
  }

  [Symbol.iterator]() {
    return this.entries()
  }

  forEach(call: (value: Value, key: Key, map: ReadonlyMap<Key, Value>) => void): void {
    for (const [key, value] of this) call(value, key, this)
  }
}
