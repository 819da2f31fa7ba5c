import {create} from '@bufbuild/protobuf'
import {anyPack} from '@bufbuild/protobuf/wkt'
import {status} from '@grpc/grpc-js'
import {BadRequestSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {Users} from '../../src/gen/users_pb.js'
import {type Implementation, type ImplementOptions, implement} from '../grpc/implement.ts'
import {StatusError} from '../grpc/status-error.ts'

/** The Users service: the name of a user comes from the email address. Without one, everybody is Ada. */
export const users = {
  implement: (options: ImplementOptions): Implementation =>
    implement(
      Users,
      {
        getUser({id, email}) {
          const [firstName, lastName] = email ? partsOf(email) : ['Ada', 'Lovelace']
          return {user: {id: id || (email ? firstName : 'ada'), firstName, lastName, age: 36}}
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

/** What stands before and after the `@`. */
function partsOf(email: string): [before: string, after: string] {
  const [, before, after] = /^([^@\s]+)@([^@\s]+)$/.exec(email) ?? []
  if (before && after) return [before, after]
  const description = `"${email}" is not an email address`
  const detail = create(BadRequestSchema, {fieldViolations: [{field: 'email', description}]})
  throw new StatusError(status.INVALID_ARGUMENT, description, [anyPack(BadRequestSchema, detail)])
}
