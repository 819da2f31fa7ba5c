import {http} from '@google-cloud/functions-framework'

/** The lower bound: the cost of the framework and Node alone. */
http('hello', (_, response) => {
  response.json({hello: 'world'})
})
