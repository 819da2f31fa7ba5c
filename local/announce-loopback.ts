/** Loaded before the functions-framework in place of announce-port.ts: keeps it to loopback as well. */
import {announce, endWithStarter} from './announce.ts'
import {keepToLoopback} from './loopback.ts'

keepToLoopback(announce)
endWithStarter()
