import {channel} from 'node:diagnostics_channel'

// What a start makes is told on channels of Node's diagnostics_channel, for tools of development: nobody else subscribes, and
// without a subscriber they cost nothing. Their messages may get more fields, and lose none.

/** The names of all functions of the table, before one of them is made: `{names: string[]}`. */
export const functionsChannel = channel('grpc-functions:functions')

/** What a gateway serves, before it is refused for its problems: `{bindings, unserved, problems, registry}`. */
export const schemaChannel = channel('grpc-functions:schema')

/** A gateway that was made: `{document()}`, which gives the text of its /openapi.json. */
export const gatewayChannel = channel('grpc-functions:gateway')
