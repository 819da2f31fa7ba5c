import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {type Setting, settings} from '../src/core/settings.ts'

// `npm run docs`: writes README's configuration table.

const start = '<!-- configuration: npm run docs -->\n'
const end = '<!-- end of configuration -->\n'

/**
 * `readme` with the configuration table of src/core/settings.ts between its two markers.
 * @throws when a marker is missing
 */
export function withConfiguration(readme: string): string {
  const [from, to] = [readme.indexOf(start), readme.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`README.md: expected ${start.trim()} and, after it, ${end.trim()}`)
  return `${readme.slice(0, from + start.length)}\n${configurationTable()}\n${readme.slice(to)}`
}

function configurationTable(): string {
  const rows = Object.entries<Setting>(settings).map(([name, setting]) => [
    `\`${name}\``,
    setting.meaning,
    setting.unset ?? (setting.default === undefined ? '' : `\`${setting.default}\``),
  ])
  return [['variable', 'meaning', 'default'], ['---', '---', '---'], ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`)
    .join('')
}

if (import.meta.main) {
  const path = join(import.meta.dirname, '../README.md')
  writeFileSync(path, withConfiguration(readFileSync(path, 'utf8')))
}
