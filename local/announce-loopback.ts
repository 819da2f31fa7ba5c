/** Loaded before the functions-framework in place of announce-port.ts: keeps it to loopback as well, and answers the page. */
import {announce, endWithStarter} from './announce.ts'
import {keepToLoopback} from './loopback.ts'
import {pageAnswers} from './page.ts'

keepToLoopback(announce, pageAnswers())
endWithStarter()
