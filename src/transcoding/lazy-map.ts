/** A map whose values are made when they are first asked for. */
export class LazyMap<Key, Value> implements ReadonlyMap<Key, Value> {
  readonly #keys: ReadonlySet<Key>
  readonly #make: (key: Key) => Value
  readonly #made = new Map<Key, Value>()

  constructor(keys: Iterable<Key>, make: (key: Key) => Value) {
    this.#keys = new Set(keys)
    this.#make = make
  }

  get size(): number {
    return this.#keys.size
  }

  has(key: Key): boolean {
    return this.#keys.has(key)
  }

  get(key: Key): Value | undefined {
    const known = this.#made.get(key)
    if (known !== undefined || !this.#keys.has(key)) return known
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
