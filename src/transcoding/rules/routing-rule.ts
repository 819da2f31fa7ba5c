import {type DescMethod, ScalarType} from '@bufbuild/protobuf'
import {BinaryReader, type WireType} from '@bufbuild/protobuf/wire'
import {optionFields} from '../../core/option-fields.ts'
import {type FieldPath, findField} from '../fields/fields.ts'
import {parseTemplate} from './templates.ts'

/** One parameter of a google.api.routing rule. */
export interface RoutingParameter {
  readonly path: FieldPath
  readonly key: string
  /** Its group captures the value from the field's text; all of the text unless given. */
  readonly pattern: RegExp | undefined
}

/** The option google.api.routing of a method, and the fields of its messages. */
const routingOption = 72295729
const routingParameters = 2
const parameterField = 1
const parameterTemplate = 2

/**
 * The parameters of the option google.api.routing of `method`; undefined without the option: the path decides then.
 * @throws {Error} for fields that the request does not have, and for malformed templates
 */
export function routingOf(method: DescMethod): readonly RoutingParameter[] | undefined {
  const option = optionFields(method, routingOption).at(-1)
  if (!option) return undefined
  // The bytes of an embedded message begin with their length.
  const rule = fieldsIn(new BinaryReader(option.data).bytes())
  const parameters = rule.filter(({number}) => number === routingParameters)
  return parameters.map(({bytes}) => {
    const texts = new Map(fieldsIn(bytes).map(({number, bytes}) => [number, utf8.decode(bytes)]))
    return parameterOf(method, texts.get(parameterField) ?? '', texts.get(parameterTemplate) ?? '')
  })
}

const utf8 = new TextDecoder()

function fieldsIn(bytes: Uint8Array): {number: number; bytes: Uint8Array}[] {
  const reader = new BinaryReader(bytes)
  const found: {number: number; bytes: Uint8Array}[] = []
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag()
    if (type === (2 satisfies WireType.LengthDelimited)) found.push({number, bytes: reader.bytes()})
    else reader.skip(type, number)
  }
  return found
}

function parameterOf({input}: DescMethod, field: string, template: string): RoutingParameter {
  const path = findField(input, field)
  if ('problem' in path) throw new Error(`google.api.routing: "${field}": ${path.problem}`)
  if (path.field.fieldKind !== 'scalar' || path.field.scalar !== ScalarType.STRING) {
    throw new Error(`google.api.routing: "${field}" is no string`)
  }
  if (template === '') return {path, key: field, pattern: undefined}
  try {
    const {segments, variables} = parseTemplate(`/${template}`)
    const [variable, ...others] = variables
    if (!variable || others.length > 0) throw new Error('expected one variable')
    return {path, key: variable.path, pattern: patternOf(segments, variable)}
  } catch (error) {
    throw new Error(`google.api.routing: "${template}": ${(error as Error).message}`)
  }
}

type Parsed = ReturnType<typeof parseTemplate>

/** `**` matches any number of segments. For none of them the slash before it is optional. */
function patternOf(segments: Parsed['segments'], {start, end}: Parsed['variables'][number]): RegExp {
  const parts = segments.map((segment, index) => {
    const slash = index === 0 ? '' : '/'
    const open = index === start ? '(' : ''
    const close = index === end - 1 ? ')' : ''
    if (segment.kind === '**') return slash && index !== start ? `(?:${slash}.*)?${close}` : `${slash}${open}.*${close}`
    const text = segment.kind === '*' ? '[^/]+' : RegExp.escape(segment.text)
    return `${slash}${open}${text}${close}`
  })
  return new RegExp(`^${parts.join('')}$`, 's')
}
