import {channel} from 'node:diagnostics_channel'

// Publishes what is made at start on channels of Node's diagnostics_channel, for development tools. Without a subscriber they cost
// nothing. Messages may get more fields in later versions, but lose none.

/** The names of all functions of the table, published before one of them is made: `{names: string[]}`. */
export const functionsChannel = channel('grpc-functions:functions')

/** What a gateway serves, published before it may be refused for its problems: `{bindings, unserved, problems, registry}`. */
export const schemaChannel = channel('grpc-functions:schema')

/** A new gateway: `{document()}`, which returns the text of its /openapi.json. */
export const gatewayChannel = channel('grpc-functions:gateway')
