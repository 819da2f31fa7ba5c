import type {Unserved} from '../transcoding/rules/selection.ts'
import type {Transcoder} from '../transcoding/transcoder.ts'

/** One line that lists what is served and what is not: services, or methods where only some methods of a service are served. */
export function exposure({bindings, unserved}: Pick<Transcoder, 'bindings' | 'unserved'>): string {
  const served = bindings.map(({method: {name, parent}}) => `${parent.typeName}/${name}`)
  const unservedBy = (why: Unserved['why']) => unserved.filter((one) => one.why === why).map(({name}) => name)
  const others = Object.entries(reasons)
    .map(([why, reason]) => ({reason, names: unservedBy(why as Unserved['why'])}))
    .filter(({names}) => names.length > 0)
    .map(({names, reason}) => `${listed(names, served)} (${reason})`)
  const names = listed(served, [...unservedBy('no rule'), ...unservedBy('unservable')])
  return `Served: ${names}. Not served: ${others.join('; ') || 'nothing'}`
}

const reasons = {
  'no rule':
    'no google.api.http rule, and neither GATEWAY_SERVICES, GATEWAY_RULES nor GATEWAY_DEFAULT_BINDINGS asks for it',
  imported: 'only imported, and neither GATEWAY_SERVICES, GATEWAY_RULES nor GATEWAY_DEFAULT_BINDINGS asks for it',
  'not named': 'not in GATEWAY_SERVICES',
  'not in apis': 'not in the apis of GATEWAY_RULES',
  unservable: 'its rules cannot be served, and GATEWAY_UNSERVABLE is "warn"',
} as const satisfies Record<Unserved['why'], string>

/** A line for each rule that is left out, with the reason. */
export function leftOut(problems: readonly string[]): string[] {
  const lines = problems.slice(0, most).map((problem) => `Left out, as GATEWAY_UNSERVABLE is "warn": ${problem}`)
  return problems.length > most ? [...lines, `Left out: ${problems.length - most} more`] : lines
}

/** Limit for listed names, because records in Cloud Logging have a size limit. */
const most = 200

/** Lists `names`. If no method of a service is in `others`, only the service is named. */
function listed(names: readonly string[], others: readonly string[]): string {
  const divided = new Set(others.map(serviceOf))
  const all = [...new Set(names.map((name) => (divided.has(serviceOf(name)) ? name : serviceOf(name))))]
  const more = all.length > most ? ` and ${all.length - most} more` : ''
  return all.slice(0, most).join(', ') + more
}

function serviceOf(name: string): string {
  const slash = name.indexOf('/')
  return slash < 0 ? name : name.slice(0, slash)
}
