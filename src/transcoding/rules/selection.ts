import type {DescFile, DescMethod, DescService, FileRegistry} from '@bufbuild/protobuf'

export interface SelectionOptions {
  /** Full names; all but imported services of Google's unless given. */
  services?: readonly string[] | undefined
  /**
   * Whether methods without a rule are served at `POST /<package.Service>/<Method>`: those of services that `services`
   * names unless given.
   */
  defaultBindings?: boolean | undefined
}

/** A service or a method that a schema has and that is not served. */
export interface Unserved {
  /** `package.Service`, or `package.Service/Method`. */
  name: string
  why: 'not named' | 'imported' | 'no rule' | 'unservable'
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
  const {services, defaultBindings} = options
  const methods: SelectedMethod[] = []
  const unserved: Unserved[] = []
  const files = [...registry.files].sort((left, right) => (left.name < right.name ? -1 : 1))
  for (const service of files.flatMap((file): DescService[] => file.services)) {
    const isNamed = services?.includes(service.typeName) ?? false
    const byDefault = defaultBindings ?? isNamed
    if (services && !isNamed) unserved.push({name: service.typeName, why: 'not named'})
    else if (!services && !defaultBindings && isImported(service, files)) {
      unserved.push({name: service.typeName, why: 'imported'})
    } else methods.push(...service.methods.map((method) => ({method, byDefault})))
  }
  return {methods, unserved}
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
