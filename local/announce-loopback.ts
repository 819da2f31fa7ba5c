/** Loaded before the functions-framework, instead of announce-port.ts: also restricts it to loopback, and answers the page. */
import {announce, endWithStarter} from './announce.ts'
import {keepToLoopback} from './loopback.ts'
import {pageAnswers} from './page.ts'

keepToLoopback(announce, pageAnswers())
endWithStarter()
