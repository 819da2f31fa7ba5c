import {createRequire} from 'node:module'

// By require, because its declarations would add the DOM's types to every file of this project.
const {parse} = createRequire(import.meta.url)('@cdktf/hcl2json') as {
  parse(name: string, text: string): Promise<unknown>
}

/** Parses `text` with Terraform's own parser, to JSON: blocks by kind and labels. @throws if it is not valid HCL */
export async function hcl<T>(name: string, text: string): Promise<T> {
  return (await parse(name, text)) as T
}
