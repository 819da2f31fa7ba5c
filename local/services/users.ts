import {create} from '@bufbuild/protobuf'
import {anyPack} from '@bufbuild/protobuf/wkt'
import {status} from '@grpc/grpc-js'
import {BadRequestSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {Users} from '../../src/gen/users_pb.js'
import {type Implementation, type ImplementOptions, implement} from '../grpc/implement.ts'
import {StatusError} from '../grpc/status-error.ts'

/** The Users service: everybody is Ada. */
export const users = {
  implement: (options: ImplementOptions): Implementation =>
    implement(
      Users,
      {
        getUser({id, email}) {
          if (email) checkEmail(email)
          return {user: {id: id || email.split('@')[0] || 'ada', firstName: 'Ada', lastName: 'Lovelace', age: 36}}
        },
        async *getHelp(requests) {
          for await (const {user, request} of requests) {
            yield {response: `${user?.firstName || 'You'} asked "${request}": have you tried it again?`}
          }
        },
      },
      options,
    ),
}

function checkEmail(email: string): void {
  if (/^[^@\s]+@[^@\s]+$/.test(email)) return
  const description = `"${email}" is not an email address`
  const detail = create(BadRequestSchema, {fieldViolations: [{field: 'email', description}]})
  throw new StatusError(status.INVALID_ARGUMENT, description, [anyPack(BadRequestSchema, detail)])
}
