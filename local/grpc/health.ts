import {type Server, type ServiceError, status} from '@grpc/grpc-js'
import {HealthImplementation, type ServingStatus, type service} from 'grpc-health-check'

export type {ServingStatus}

type AddService = Parameters<HealthImplementation['addToServer']>[0]['addService']
type Check = Parameters<AddService>[1][string]

/** grpc.health.v1, with controls for tests. */
export class Health {
  readonly #health: HealthImplementation
  #silent = false

  constructor(services: readonly string[]) {
    this.#health = new HealthImplementation(Object.fromEntries(['', ...services].map((name) => [name, 'SERVING'])))
  }

  /** Sets the state of `service`, such as `ping.PingService`; `''` is the server's own. Notifies watchers. */
  set(service: string, status: ServingStatus): void {
    this.#health.setStatus(service, status)
  }

  /** Makes Check hang from now on; `false` ends that for later calls. */
  silence(silent = true): void {
    this.#silent = silent
  }

  addTo(server: Server): void {
    const addService: AddService = (definition: typeof service, {check, ...others}) => {
      const unlessSilent = ((call: unknown, answer: (error: ServiceError | null, ...rest: unknown[]) => void) => {
        // The package's text for an unknown service differs from that of other servers.
        const named: typeof answer = (error, ...rest) =>
          answer(error?.code === status.NOT_FOUND ? {...error, details: 'unknown service'} : error, ...rest)
        if (!this.#silent) (check as (...call: unknown[]) => void)(call, named)
      }) as Check
      server.addService(definition, {...others, check: unlessSilent} as Parameters<Server['addService']>[1])
    }
    this.#health.addToServer({addService})
  }
}
