/** A gcloud command, as far as our documents use it. */
export interface Command {
  /** The number of positional arguments. */
  readonly names: number
  /** Flags with a value: `--flag=value`. */
  readonly values: readonly string[]
  /** Flags without a value. */
  readonly switches: readonly string[]
  /** Flags that our use of the command requires. */
  readonly required?: readonly string[]
  /** The page that documents them, relative to https://cloud.google.com/sdk/gcloud/reference/. */
  readonly source: string
}

const function_ = ['region', 'source', 'service-account', 'timeout', 'memory', 'cpu', 'concurrency', 'set-env-vars']
const access = ['allow-unauthenticated', 'no-allow-unauthenticated']
const binding = ['member', 'role']

/** Only the commands and flags that our documents use. If you use another one, look it up and add it. */
export const commands: Readonly<Record<string, Command>> = {
  'functions deploy': {
    names: 1,
    values: [...function_, 'runtime', 'entry-point', 'trigger-bucket', 'trigger-location', 'trigger-service-account'],
    switches: [...access, 'gen2', 'trigger-http', 'retry'],
    required: ['gen2', 'runtime', 'region', 'source', 'entry-point'],
    source: 'functions/deploy',
  },
  'run deploy': {
    names: 1,
    values: [...function_, 'function', 'base-image', 'image', 'project', 'min-instances', 'startup-probe'],
    switches: [...access, 'cpu-boost', 'use-http2'],
    required: ['region'],
    source: 'run/deploy',
  },
  'run services update': {
    names: 1,
    values: ['region', 'add-custom-audiences'],
    switches: [],
    source: 'run/services/update',
  },
  'run services add-iam-policy-binding': {
    names: 1,
    values: ['region', ...binding],
    switches: [],
    required: binding,
    source: 'run/services/add-iam-policy-binding',
  },
  'projects add-iam-policy-binding': {
    names: 1,
    values: binding,
    switches: [],
    required: binding,
    source: 'projects/add-iam-policy-binding',
  },
  'storage buckets add-iam-policy-binding': {
    names: 1,
    values: binding,
    switches: [],
    required: binding,
    source: 'storage/buckets/add-iam-policy-binding',
  },
  'storage buckets notifications create': {
    names: 1,
    values: ['topic', 'event-types', 'payload-format'],
    switches: [],
    source: 'storage/buckets/notifications/create',
  },
  'iam service-accounts create': {names: 1, values: [], switches: [], source: 'iam/service-accounts/create'},
  'iam service-accounts add-iam-policy-binding': {
    names: 1,
    values: binding,
    switches: [],
    required: binding,
    source: 'iam/service-accounts/add-iam-policy-binding',
  },
  'iam workload-identity-pools create': {
    names: 1,
    values: ['location'],
    switches: [],
    required: ['location'],
    source: 'iam/workload-identity-pools/create',
  },
  'iam workload-identity-pools providers create-oidc': {
    names: 1,
    values: ['location', 'workload-identity-pool', 'issuer-uri', 'attribute-mapping', 'attribute-condition'],
    switches: [],
    required: ['location', 'workload-identity-pool', 'issuer-uri', 'attribute-mapping'],
    source: 'iam/workload-identity-pools/providers/create-oidc',
  },
  'eventarc triggers create': {
    names: 1,
    values: ['location', 'destination-run-service', 'destination-run-region', 'event-filters', 'service-account'],
    switches: [],
    required: ['location', 'event-filters'],
    source: 'eventarc/triggers/create',
  },
  'eventarc triggers describe': {
    names: 1,
    values: ['location', 'format'],
    switches: [],
    source: 'eventarc/triggers/describe',
  },
  'pubsub subscriptions create': {
    names: 1,
    values: [
      ...['topic', 'ack-deadline', 'push-endpoint', 'push-auth-service-account'],
      ...['dead-letter-topic', 'max-delivery-attempts'],
    ],
    switches: [],
    required: ['topic'],
    source: 'pubsub/subscriptions/create',
  },
  'pubsub subscriptions update': {
    names: 1,
    values: ['dead-letter-topic', 'max-delivery-attempts'],
    switches: [],
    source: 'pubsub/subscriptions/update',
  },
}

/** What is wrong with a command, given as its words without `gcloud`; undefined if gcloud would accept it. */
export function problemOf(words: readonly string[]): string | undefined {
  const name = Object.keys(commands).find((command) => command.split(' ').every((word, index) => word === words[index]))
  if (!name) return `gcloud ${words.slice(0, 4).join(' ')}: no command that is known here`
  const {names, values, switches, required = []} = commands[name]!
  const rest = words.slice(name.split(' ').length)
  const flags = rest.filter((word) => word.startsWith('-'))
  if (rest.length - flags.length !== names)
    return `gcloud ${name}: expected ${names} name, got ${rest.filter((word) => !word.startsWith('-'))}`
  const used = flags.map((flag) => /^--([a-z0-9-]+)(=[\s\S]+)?$/.exec(flag))
  for (const [index, flag] of used.entries()) {
    const [, key = '', value] = flag ?? []
    const isKnown = value === undefined ? switches.includes(key) : values.includes(key)
    if (!isKnown) return `gcloud ${name}: unknown flag ${flags[index]}`
  }
  const missing = required.find((flag) => !used.some((one) => one?.[1] === flag))
  return missing && `gcloud ${name}: --${missing} is missing`
}
