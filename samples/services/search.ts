import {service} from '../../local/grpc/service.ts'
import {type PersonReq, SearchService} from '../gen/person/person_pb.js'

/** Number of persons in an answer of SearchOut. */
const persons = 11

/** The Search service: a method of each kind. */
export const search = service(SearchService, {
  search: ({name, age, body}) => ({name, age, ...(body && {body: {name: body.name}})}),
  async searchIn(requests) {
    for await (const _ of requests);
    return {name: 'success'}
  },
  async *searchOut(request) {
    for (let person = 0; person < persons; person++) yield received(request)
  },
  async *searchIO(requests) {
    for await (const request of requests) yield received(request)
  },
})

function received({name}: PersonReq) {
  return {name: `I got it${name}`}
}
