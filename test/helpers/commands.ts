import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {ExecutionContext} from 'ava'
import {parse} from 'shell-quote'
import type {App} from './app.ts'

const root = join(import.meta.dirname, '../..')

/** The text of a document of this project. */
export function textOf(document: string): string {
  return readFileSync(join(root, document), 'utf8')
}

/** The curl commands of a document, in their order: each is a block of its own, or several lines of one. */
export function requestsIn(document: string): string[] {
  const blocks = [...textOf(document).matchAll(/```sh\n([^`]*)\n```/g)].map(([, block]) => block ?? '')
  return blocks.flatMap((block) => block.replaceAll('\\\n', '').split('\n')).filter((line) => line.startsWith('curl '))
}

/** What curl would send: the flags that documents use, and no others. */
export function requestOf(command: string): {path: string; init: RequestInit} {
  const [curl, ...words] = parse(command) as string[]
  if (curl !== 'curl') throw new Error(`Not a request: ${command}`)
  const init = {method: 'GET', headers: {} as Record<string, string>, body: undefined as Buffer | string | undefined}
  let url = ''
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '-N') continue
    if (word === '-H') {
      const [name = '', value = ''] = (words.shift() ?? '').split(/:\s*/, 2)
      init.headers[name] = value
    } else if (word === '-d' || word === '--data-binary') {
      const data = words.shift() ?? ''
      init.body = data.startsWith('@') ? readFileSync(join(root, data.slice(1))) : data
      init.method = 'POST'
    } else if (word.startsWith('-')) throw new Error(`What does curl's ${word} do?`)
    else url = word
  }
  return {path: url.replace('http://localhost:8080', ''), init: init as RequestInit}
}

/** Sends what `command` does: it is answered with 200. */
export async function succeeds(t: ExecutionContext, app: App, command: string): Promise<void> {
  const {path, init} = requestOf(command)
  t.true(path.startsWith('/'), command)
  const answer = await app.ask(t, path, init)
  t.is(answer.status, 200, answer.text)
}
