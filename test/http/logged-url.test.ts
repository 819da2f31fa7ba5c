import test from 'ava'
import {loggedPath, loggedQuery, loggedUrl, withoutValues} from '../../src/http/record/logged-url.ts'

const long = 'x'.repeat(20_000)

for (const [query, logged] of [
  ['', ''],
  ['access_token=secret', 'access_token=…'],
  ['a=1&b=2&a=3', 'a=…&b=…&a=…'],
  ['a=b=c', 'a=…'],
  ['filter=a&alt=json&page_size=10&$alt=sse', 'filter=…&alt=json&page_size=10&$alt=sse'],
  ['%24alt=json&upstream=true', '%24alt=json&upstream=true'],
  ['alt=two%20words', 'alt=…'],
  [`alt=${'s'.repeat(17)}`, 'alt=…'],
  ['debug&user.name', 'debug&user.name'],
  ['debug=', 'debug='],
  ['eyJhbGciOiJIUzI1NiJ9.e30.c2ln', '…'],
  ['c2VjcmV0MTIzNA==', '…'],
  ['%', '…'],
  ['&&a=1', '…&…&a=…'],
] as const) {
  test(`the query "${query}" is logged as "${logged}"`, (t) => t.is(loggedQuery(query), logged))
}

test('at most a limited number of query names are logged, each of limited length', (t) => {
  t.is(loggedQuery(`${long}=1`), `${'x'.repeat(100)}…=…`)
  t.true(loggedQuery('abc=1&'.repeat(3000)).length <= 1025)
})

for (const [url, logged] of [
  ['https://here/page', 'https://here/page'],
  ['https://here:8443/page?code=secret&state=x#token=secret', 'https://here:8443/page?code=…&state=…'],
  ['https://user:secret@here/', 'https://here/'],
  ['/relative?code=secret', undefined],
  ['data:text/html,secret', undefined],
  ['', undefined],
] as const) {
  test(`the referer "${url}" is logged as ${logged}`, (t) => t.is(loggedUrl(url), logged))
}

test('a path is logged without its fragment, and at most 1,024 characters of it', (t) => {
  t.is(loggedPath('/page#access_token=secret'), '/page')
  t.is(loggedPath(`/${long}`).length, 1025)
})

const token = 'eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl'

for (const [text, query, clean] of [
  ['No such user', 'name=Ada', 'No such user'],
  ['No user "ada@example.com"', 'email=ada@example.com', 'No user "…"'],
  ['No user "ada@example.com"', 'email=ada%40example.com', 'No user "…"'],
  ['No user "Ada Lovelace"', 'name=Ada+Lovelace', 'No user "…"'],
  ['Neither ab12 nor cd34, nor ab12', 'a=ab12&b=cd34', 'Neither … nor …, nor …'],
  [`Bad token ${token.slice(0, 20)}… there`, `access_token=${token}`, 'Bad token …… there'],
  [`No field "${token}"`, token, 'No field "…"'],
  ['Cannot answer as json', 'alt=json', 'Cannot answer as json'],
  ['A value of three letters: abc', 'a=abc', 'A value of three letters: abc'],
  ['Malformed: %zz%', 'a=%zz%', 'Malformed: …'],
] as const) {
  test(`of ?${query.slice(0, 40)} the text "${text}" keeps "${clean}"`, (t) => t.is(withoutValues(text, query), clean))
}
