import {type Server, type ServiceError, status} from '@grpc/grpc-js'
import {HealthImplementation, type ServingStatus, type service} from 'grpc-health-check'

export type {ServingStatus}

type AddService = Parameters<HealthImplementation['addToServer']>[0]['addService']
type Check = Parameters<AddService>[1][string]

/** grpc.health.v1, and a test's hold on it. */
export class Health {
  readonly #health: HealthImplementation
  #silent = false

  constructor(services: readonly string[]) {
    this.#health = new HealthImplementation(Object.fromEntries(['', ...services].map((name) => [name, 'SERVING'])))
  }

  /** The state of `service`, as in `ping.PingService`; `''` is the server's own. Watchers are told. */
  set(service: string, status: ServingStatus): void {
    this.#health.setStatus(service, status)
  }

  /** From now on Check is never answered; `false` ends that for later calls. */
  silence(silent = true): void {
    this.#silent = silent
  }

  addTo(server: Server): void {
    const addService: AddService = (definition: typeof service, {check, ...others}) => {
      const unlessSilent = ((call: unknown, answer: (error: ServiceError | null, ...rest: unknown[]) => void) => {
        // The package's own text for a service that it does not know is not the one that other servers send.
        const named: typeof answer = (error, ...rest) =>
          answer(error?.code === status.NOT_FOUND ? {...error, details: 'unknown service'} : error, ...rest)
        if (!this.#silent) (check as (...call: unknown[]) => void)(call, named)
      }) as Check
      server.addService(definition, {...others, check: unlessSilent} as Parameters<Server['addService']>[1])
    }
    this.#health.addToServer({addService})
  }
}
