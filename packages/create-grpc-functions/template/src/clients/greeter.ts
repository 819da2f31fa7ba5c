import {createClient, type Runtime} from 'grpc-functions'
import {GreeterService} from '../gen/greeter/v1/greeter_pb.js'

/** The Greeter service behind BACKEND_URL, or BACKEND_URL_GREETER_SERVICE if it has one of its own. */
export const greeter = (runtime: Runtime) => createClient(runtime, GreeterService)
