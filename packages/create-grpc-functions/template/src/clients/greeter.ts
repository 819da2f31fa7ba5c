import {createClient, type Runtime} from 'grpc-functions'
import {GreeterService} from '../gen/greeter/v1/greeter_pb.js'

/** A client of the Greeter service at BACKEND_URL, or at BACKEND_URL_GREETER_SERVICE if that is set. */
export const greeter = (runtime: Runtime) => createClient(runtime, GreeterService)
