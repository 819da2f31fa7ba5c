import {type PersonReq, SearchService} from '../../src/gen/person/person_pb.js'
import {type Implementation, type ImplementOptions, implement} from '../grpc/implement.ts'

/** Most persons that SearchOut answers with. */
const mostPersons = 10_000

/** The Search service: a method of each kind, all answers made of the requests. */
export const search = {
  implement: (options: ImplementOptions): Implementation =>
    implement(
      SearchService,
      {
        search: found,
        async searchIn(requests) {
          const names: string[] = []
          let age = 0
          for await (const request of requests) {
            names.push(request.name)
            age += request.age
          }
          return {name: names.join(', '), age}
        },
        async *searchOut(request) {
          for (let age = 1; age <= Math.min(request.age, mostPersons); age++) yield {...found(request), age}
        },
        async *searchIO(requests) {
          for await (const request of requests) yield found(request)
        },
      },
      options,
    ),
}

function found({name, age, body}: PersonReq) {
  return {name, age, ...(body && {body: {name: body.name}})}
}
