import {service} from 'grpc-functions-dev/local'
import {GreeterService} from '../src/gen/greeter/v1/greeter_pb.js'

/** The services of proto/ as `npm start` and the tests have them, in place of those on Cloud Run. */
export const services = [
  service(GreeterService, {
    sayHello: ({name}) => ({message: `Hello ${name}`}),
  }),
]
