import {create} from '@bufbuild/protobuf'
import {anyPack} from '@bufbuild/protobuf/wkt'
import {status} from '@grpc/grpc-js'
import {service} from '../../local/grpc/service.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import {BadRequestSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {Users} from '../gen/users_pb.js'

/** The Users service: the name of a user comes from the email address. Without one, everybody is Ada. */
export const users = service(Users, {
  getUser({id, email}) {
    const [firstName, lastName] = email ? partsOf(email) : ['Ada', 'Lovelace']
    return {user: {id: id || (email ? firstName : 'ada'), firstName, lastName, age: 36}}
  },
  async *getHelp(requests) {
    for await (const {user, request} of requests) {
      yield {response: `${user?.firstName || 'You'} asked "${request}": have you tried it again?`}
    }
  },
})

/** The parts before and after the `@`. */
function partsOf(email: string): [before: string, after: string] {
  const [, before, after] = /^([^@\s]+)@([^@\s]+)$/.exec(email) ?? []
  if (before && after) return [before, after]
  const description = `"${email}" is not an email address`
  const detail = create(BadRequestSchema, {fieldViolations: [{field: 'email', description}]})
  throw new StatusError(status.INVALID_ARGUMENT, description, [anyPack(BadRequestSchema, detail)])
}
