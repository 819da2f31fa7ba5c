import {createRequire} from 'node:module'

// Required, because its declarations would bring the DOM's types into every file of this project.
const {parse} = createRequire(import.meta.url)('@cdktf/hcl2json') as {
  parse(name: string, text: string): Promise<unknown>
}

/** What Terraform's own parser makes of `text`, as JSON: blocks by kind and labels. @throws for what is no HCL */
export async function hcl<T>(name: string, text: string): Promise<T> {
  return (await parse(name, text)) as T
}
