import type {DescMethod} from '@bufbuild/protobuf'

/** One occurrence of an option in the wire format, as protobuf-es gives an unknown field. */
export interface OptionField {
  readonly no: number
  readonly wireType: number
  readonly data: Uint8Array
}

/** A method that finds its options without being decoded. */
export interface OptionFinder {
  optionFields(number: number): readonly OptionField[]
}

/** The occurrences of the extension `number` in the options of `method`. */
export function optionFields(method: DescMethod, number: number): readonly OptionField[] {
  if ('optionFields' in method) return (method as unknown as OptionFinder).optionFields(number)
  return method.proto.options?.$unknown?.filter(({no}) => no === number) ?? none
}

const none: readonly OptionField[] = []
