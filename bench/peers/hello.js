import {http} from '@google-cloud/functions-framework'

/** The floor: what the framework and Node cost alone. */
http('hello', (_, response) => {
  response.json({hello: 'world'})
})
