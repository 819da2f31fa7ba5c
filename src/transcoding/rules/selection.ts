import type {DescFile, DescMethod, DescService, FileRegistry} from '@bufbuild/protobuf'
import type {GivenRules} from './rules.ts'

export interface SelectionOptions {
  /** Full names; all but imported services of Google's unless given. */
  services?: readonly string[] | undefined
  /**
   * Whether methods without a rule are served at `POST /<package.Service>/<Method>`: those of services that `services`
   * names unless given.
   */
  defaultBindings?: boolean | undefined
  /** Rules in place of those of the protos: what has one is asked for, also of an imported service of Google's. */
  rules?: GivenRules | undefined
  /** The services of an API, full names: no others are served, where `services` does not say which. */
  apis?: readonly string[] | undefined
}

/** A service or a method that a schema has and that is not served. */
export interface Unserved {
  /** `package.Service`, or `package.Service/Method`. */
  name: string
  why: 'not named' | 'not in apis' | 'imported' | 'no rule' | 'unservable'
}

/** What of a schema is served: what has a rule, and without one only what was asked for. */
export interface Selection {
  methods: readonly SelectedMethod[]
  unserved: readonly Unserved[]
}

interface SelectedMethod {
  method: DescMethod
  /** Whether it has a binding also when it has no rule. */
  byDefault: boolean
}

/** The methods to serve, in the order of their files' names: the same whatever the order of the set. */
export function selectMethods(registry: FileRegistry, options: SelectionOptions = {}): Selection {
  const {services, defaultBindings, apis} = options
  const methods: SelectedMethod[] = []
  const unserved: Unserved[] = []
  const files = [...registry.files].sort((left, right) => (left.name < right.name ? -1 : 1))
  for (const service of files.flatMap((file): DescService[] => file.services)) {
    const {typeName: name} = service
    const isNamed = services?.includes(name) ?? false
    const byDefault = defaultBindings ?? isNamed
    const selected = service.methods.map((method) => ({method, byDefault}))
    if (services && !isNamed) unserved.push({name, why: 'not named'})
    else if (!services && apis && !apis.includes(name)) unserved.push({name, why: 'not in apis'})
    else if (services || apis || defaultBindings || !isImported(service, files)) methods.push(...selected)
    else {
      const asked = selected.filter(({method}) => options.rules?.has(`${name}/${method.name}`))
      methods.push(...asked)
      if (asked.length === 0) unserved.push({name, why: 'imported'})
      else unserved.push(...others(service, asked))
    }
  }
  return {methods, unserved}
}

function others(service: DescService, asked: readonly SelectedMethod[]): Unserved[] {
  const rest = service.methods.filter((method) => !asked.some((one) => one.method === method))
  return rest.map((method) => ({name: `${service.typeName}/${method.name}`, why: 'imported'}))
}

/**
 * Whether `service` is one of Google's that came along with a schema: google.longrunning.Operations and the like, whose
 * rules are for Google's own servers, and whose files others import for their messages.
 */
function isImported({file}: DescService, files: readonly DescFile[]): boolean {
  const own = file.proto.package
  if (own !== 'google' && !own.startsWith('google.')) return false
  return files.some((other) => other.proto.package !== own && other.dependencies.includes(file))
}
