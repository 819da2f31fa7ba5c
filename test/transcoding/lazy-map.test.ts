import test from 'ava'
import {LazyMap} from '../../src/transcoding/lazy-map.ts'

test('a value is made when it is first asked for, and kept', (t) => {
  const made: string[] = []
  const map = new LazyMap(['a', 'b', 'c'], (key: string) => {
    made.push(key)
    return {key}
  })
  t.is(map.size, 3)
  t.true(map.has('b'))
  t.false(map.has('d'))
  t.is(map.get('d'), undefined)
  t.deepEqual([...map.keys()], ['a', 'b', 'c'])
  t.deepEqual(made, [])
  t.is(map.get('b'), map.get('b'))
  t.deepEqual(made, ['b'])
  t.deepEqual([...map.values()], [{key: 'a'}, {key: 'b'}, {key: 'c'}])
  t.deepEqual([...map], [...map.entries()])
  const seen: [string, {key: string}][] = []
  map.forEach((value, key) => void seen.push([key, value]))
  t.deepEqual(seen, [...map])
  t.deepEqual(made, ['b', 'a', 'c'])
})
