import {type Handler, json, only, type Runtime} from 'grpc-functions'
import {greeter} from '../clients/greeter.ts'

/** GET /?names=Ada,Alan: one greeting for each name. The calls run at the same time. */
export function greet(runtime: Runtime): Handler {
  const {sayHello} = greeter(runtime)
  return only(['GET'], async (scope) => {
    const names = (scope.query.get('names') ?? 'you').split(',')
    const replies = await Promise.all(names.map((name) => sayHello(scope, {name})))
    return json({greetings: replies.map(({message}) => message)})
  })
}
