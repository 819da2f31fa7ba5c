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

/** A step of a document: a file to write, lines to change, or a command. */
export type Step =
  | {readonly kind: 'file'; readonly path: string; readonly text: string}
  | {readonly kind: 'change'; readonly path: string; readonly before: string; readonly after: string}
  | {readonly kind: 'command'; readonly text: string}

/**
 * The steps of a document, in order. A code block is the content of the file that the text before it named last, or a change to
 * that file if it is a diff.
 */
export function stepsIn(document: string): Step[] {
  const steps: Step[] = []
  let path = ''
  for (const [, before = '', language, block = ''] of textOf(document).matchAll(
    /((?:(?!^```)[\s\S])*?)^```(\w*)\n([\s\S]*?)^```$/gm,
  )) {
    path = [...before.matchAll(/(?:^|\s)(?:In|in)\s`([\w./-]+\.\w+)`/g)].at(-1)?.[1] ?? path
    if (language === 'sh') steps.push(...commandsIn(block).map((text) => ({kind: 'command' as const, text})))
    else if (language === 'diff') steps.push({kind: 'change', path, ...sidesOf(block)})
    else if (language) steps.push({kind: 'file', path, text: block})
  }
  return steps
}

/** The commands in a block of sh, one line each. */
function commandsIn(block: string): string[] {
  const lines = block.replaceAll('\\\n', '').split('\n')
  return lines.map((line) => line.trim()).filter(Boolean)
}

/** The lines before and after a diff. */
function sidesOf(diff: string): {before: string; after: string} {
  const lines = diff.trimEnd().split('\n')
  const side = (other: string) =>
    lines
      .filter((line) => !line.startsWith(other))
      .map((line) => `${line.slice(1)}\n`)
      .join('')
  return {before: side('+'), after: side('-')}
}

/** The curl commands of a document, without duplicates. */
export function requestsIn(document: string): string[] {
  const commands = stepsIn(document).flatMap((step) => (step.kind === 'command' ? step.text : []))
  // start.test.ts runs those about AUTH=jwt.
  const isOpen = (text: string) => !/^curl -i |\$TOKEN/.test(text)
  return [...new Set(commands.filter((text) => text.startsWith('curl ') && isOpen(text)))]
}

/** The request of a curl command. Only the flags that documents use are supported. */
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

/** Sends the request of `command`, and expects 200. */
export async function succeeds(t: ExecutionContext, app: App, command: string): Promise<void> {
  const {path, init} = requestOf(command)
  t.true(path.startsWith('/'), command)
  const answer = await app.ask(t, path, init)
  t.is(answer.status, 200, answer.text)
}
