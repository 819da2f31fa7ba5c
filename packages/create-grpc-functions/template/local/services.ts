import {service} from 'grpc-functions-dev/local'
import {GreeterService} from '../src/gen/greeter/v1/greeter_pb.js'

/** Implementations of the services in proto/ for `npm start` and the tests, in place of those on Cloud Run. */
export const services = [
  service(GreeterService, {
    sayHello: ({name}) => ({message: `Hello ${name}`}),
  }),
]
