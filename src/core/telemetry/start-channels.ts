import {channel} from 'node:diagnostics_channel'

// Publishes facts about the start on channels of Node's diagnostics_channel, for development tools. Without a subscriber they cost
// nothing. Later versions may add fields to the messages, but remove none.

/** The names of all functions of the table, published before one of them is made: `{names: string[]}`. */
export const functionsChannel = channel('grpc-functions:functions')

/** The bindings of a gateway, published before problems may stop the start: `{bindings, unserved, problems, registry}`. */
export const schemaChannel = channel('grpc-functions:schema')

/** A new gateway: `{document()}`, which returns the text of its /openapi.json. */
export const gatewayChannel = channel('grpc-functions:gateway')
