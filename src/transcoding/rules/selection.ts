import type {DescFile, DescMethod, DescService, FileRegistry} from '@bufbuild/protobuf'
import type {GivenRules} from './rules.ts'

export interface SelectionOptions {
  /** Full names of the services to serve. Unless given, all but imported Google services. */
  services?: readonly string[] | undefined
  /**
   * Whether methods without a rule are served at `POST /<package.Service>/<Method>`. Unless given, only methods of the services in
   * `services`.
   */
  defaultBindings?: boolean | undefined
  /** Rules that replace those of the protos. A method with such a rule is served, also in an imported Google service. */
  rules?: GivenRules | undefined
  /** Full names of the services of an API. Unless `services` is given, only these are served. */
  apis?: readonly string[] | undefined
}

/** A service or a method of the schema that is not served. */
export interface Unserved {
  /** `package.Service`, or `package.Service/Method`. */
  name: string
  why: 'not named' | 'not in apis' | 'imported' | 'no rule' | 'unservable'
}

/** The parts of a schema that are served: methods with a rule, and those without one that were asked for. */
export interface Selection {
  methods: readonly SelectedMethod[]
  unserved: readonly Unserved[]
}

interface SelectedMethod {
  method: DescMethod
  /** Whether the method is served even without a rule. */
  byDefault: boolean
}

/** The methods to serve, sorted by the names of their files, so that the order of files in the set does not matter. */
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
 * Whether `service` is a Google service that is in the schema only as an import, such as google.longrunning.Operations. Other files
 * import it for its messages, and its rules are for Google's own servers.
 */
function isImported({file, name, typeName}: DescService, files: readonly DescFile[]): boolean {
  const own = typeName.slice(0, -name.length - 1)
  if (own !== 'google' && !own.startsWith('google.')) return false
  return files.some((other) => other.dependencies.includes(file) && other.proto.package !== own)
}
