import type {Message} from '@bufbuild/protobuf'
import {fieldValue} from '../responses.ts'
import type {Binding} from '../rules/bindings.ts'
import {textField} from './etag.ts'

/** Query parameters that are left out of the next page's URL: the page token is replaced, and an API key belongs in no header. */
const left = /^(?:page_?token|(?:\$|%24)?key)$/i

/** The header Link to the page after `answer`, for a request of `path` with `query`; undefined after the last page. */
export type NextPage = (answer: Message, path: string, query: string) => string | undefined

/** For a method that lists by GET (AIP-158): its answer has `next_page_token`, its request `page_token`. Undefined for others. */
export function nextPageOf({method, httpMethod, variables}: Binding): NextPage | undefined {
  const next = textField(method.output, 'next_page_token')
  const token = textField(method.input, 'page_token')
  if (!next || !token || method.methodKind !== 'unary' || httpMethod !== 'GET') return undefined
  if (variables.some(({name}) => name === token.name)) return undefined
  return (answer, path, query) => {
    const value = fieldValue(answer, next) as string
    if (!value) return undefined
    const others = query.split('&').filter((pair) => pair !== '' && !left.test(pair.split('=', 1)[0]!))
    const pairs = [...others, `${token.jsonName}=${encodeURIComponent(value)}`]
    return `<${safe(`${path}?${pairs.join('&')}`)}>; rel="next"`
  }
}

/** A URL that a header can hold: unescaped characters are percent-encoded. */
function safe(url: string): string {
  return url.replace(
    /[^\x21-\x7e]|[<>"]/g,
    (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  )
}
