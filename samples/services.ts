import {join} from 'node:path'
import {chat} from './services/chat.ts'
import {routeGuide} from './services/routeguide/route-guide.ts'
import {search} from './services/search.ts'
import {users} from './services/users.ts'

/** The services of samples/proto, which `npm start` serves in addition to its own. */
export const services = [search, users, chat, routeGuide]

/** The schema of these services and of those in proto/, which the gateway serves as long as this folder exists. */
export const descriptors = join(import.meta.dirname, 'gen/descriptors.binpb')
