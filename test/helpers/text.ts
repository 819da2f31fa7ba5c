import fc, {type StringConstraints} from 'fast-check'

/** How many of the code points from 0 to U+10FFFF are surrogates, and the first of them. */
const surrogates = {first: 0xd800, count: 0x800}

/** One code point that is no surrogate. */
const codePoint = fc.integer({min: 0, max: 0x10ffff - surrogates.count}).map(
  (number) => String.fromCodePoint(number < surrogates.first ? number : number + surrogates.count),
  (text) => {
    const [point = -1, more] = typeof text === 'string' ? [...text].map((each) => each.codePointAt(0)!) : []
    const number = point < surrogates.first ? point : point - surrogates.count
    if (point < 0 || more !== undefined || (point >= surrogates.first && number < surrogates.first)) {
      throw new Error('Not one code point')
    }
    return number
  },
)

/**
 * Any text of whole code points, as `fc.string({unit: 'binary'})`, with the same names that are special in JavaScript. That one makes
 * a table of all code points when it is first used, which takes a second.
 */
export const anyText = (constraints: Omit<StringConstraints, 'unit'>) => fc.string({...constraints, unit: codePoint})
