/** `npm run key -- NAME [methods]` */
import {key} from '../local/cli/key.ts'

key(process.argv.slice(2), 'npm run key --')
