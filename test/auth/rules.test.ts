import test from 'ava'
import {type Access, Rules} from '../../src/auth/rules.ts'
import type {TokenCaller} from '../../src/core/caller.ts'
import {readConfig} from '../../src/core/config.ts'
import {Contract} from '../../src/core/contract.ts'
import {caught} from '../transcoding/schema.ts'

const {auth} = readConfig({
  AUTH: 'jwt',
  AUTH_ISSUERS: 'https://issuer.example audience=api',
  AUTH_ALLOW: 'a.B hd=x.example; a.B/C role=admin|owner; d.E/F a.b=1',
})
const rules = new Rules(auth, new Contract())

function callerWith(claims: Record<string, unknown>): TokenCaller {
  return {kind: 'token', subject: 'ada', issuer: 'https://issuer.example', claims}
}

for (const [claims, access, may] of [
  [{hd: 'x.example'}, {name: 'a.B/D'}, true],
  [{hd: 'y.example'}, {name: 'a.B/D'}, false],
  // The rule of the service and the rule of the method both apply.
  [{hd: 'x.example'}, {name: 'a.B/C'}, false],
  [{role: 'admin'}, {name: 'a.B/C'}, false],
  [{hd: 'x.example', role: ['guest', 'owner']}, {name: 'a.B/C'}, true],
  // A claim is found by its whole name, or by the path that its dots give.
  [{'a.b': '1'}, {name: 'd.E/F'}, true],
  [{a: {b: 1}}, {name: 'd.E/F'}, true],
  [{a: {b: 2}}, {name: 'd.E/F'}, false],
  [{}, {name: 'd.E/F'}, false],
  // A function needs what all the methods that it calls need.
  [{hd: 'x.example'}, {name: '/own', methods: ['a.B/D', 'd.E/F']}, false],
  [{hd: 'x.example', 'a.b': '1'}, {name: '/own', methods: ['a.B/D', 'd.E/F']}, true],
  [{}, {name: '/other'}, true],
] satisfies [Record<string, unknown>, Access, boolean][]) {
  test(`${JSON.stringify(claims)} ${may ? 'may' : 'may not'} call ${JSON.stringify(access)}, before anything of it is read`, (t) => {
    const check = () => rules.check(callerWith(claims), access)
    if (may) t.notThrows(check)
    else t.is(caught(check).code, 'PERMISSION_DENIED')
  })
}
