export type Theme = 'light' | 'dark'

/** A row of a chart: `least` and `most` are the ends of a thin line over the bar. */
export interface Bar {
  readonly name: string
  readonly value: number
  readonly least?: number
  readonly most?: number
}

/** Background, text, bars, lines of spread. */
const colors = {
  light: {back: '#ffffff', text: '#1f2328', bar: '#4c8dd6', line: '#1f2328'},
  dark: {back: '#0d1117', text: '#e6edf3', bar: '#3f7bc0', line: '#e6edf3'},
} as const satisfies Record<Theme, Record<string, string>>

/** In px. */
const width = 720
const nameWidth = 250
const numberWidth = 70
const rowHeight = 26
const top = 40

/** An SVG with a horizontal bar for each row. */
export function barChart(title: string, bars: readonly Bar[], theme: Theme): string {
  const {back, text, bar, line} = colors[theme]
  const most = Math.max(...bars.map(({value, most}) => Math.max(value, most ?? 0)), Number.MIN_VALUE)
  const x = (value: number) => round(nameWidth + (value / most) * (width - nameWidth - numberWidth))
  const height = top + bars.length * rowHeight + 10
  const rows = bars.map(({name, value, least = value, most = value}, index) => {
    const y = top + index * rowHeight
    const middle = y + rowHeight / 2
    return [
      `<text x="${nameWidth - 8}" y="${middle + 4}" text-anchor="end">${escaped(name)}</text>`,
      `<rect x="${nameWidth}" y="${y + 4}" width="${round(x(value) - nameWidth)}" height="${rowHeight - 8}" fill="${bar}"/>`,
      ...(least < most ? [`<path d="M${x(least)} ${middle}H${x(most)}" stroke="${line}" stroke-width="1.5"/>`] : []),
      `<text x="${round(x(most) + 6)}" y="${middle + 4}">${value}</text>`,
    ]
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}" font-family="system-ui, sans-serif" font-size="13" fill="${text}">`,
    `<rect width="${width}" height="${height}" fill="${back}"/>`,
    `<text x="10" y="22" font-weight="600">${escaped(title)}</text>`,
    ...rows.flat(),
    '</svg>\n',
  ].join('\n')
}

function round(value: number): number {
  return Number(value.toFixed(1))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
