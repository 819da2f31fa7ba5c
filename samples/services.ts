import {join} from 'node:path'
import {chat} from './services/chat.ts'
import {routeGuide} from './services/routeguide/route-guide.ts'
import {search} from './services/search.ts'
import {users} from './services/users.ts'

/** The services of samples/proto, which `npm start` has beside its own. */
export const services = [search, users, chat, routeGuide]

/** The schema of these services and of those of proto/: what the gateway serves as long as there are samples. */
export const descriptors = join(import.meta.dirname, 'gen/descriptors.binpb')
