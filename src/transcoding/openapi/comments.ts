import type {
  DescEnum,
  DescEnumValue,
  DescExtension,
  DescField,
  DescMessage,
  DescMethod,
  DescService,
} from '@bufbuild/protobuf'
import type {FileDescriptorProto} from '@bufbuild/protobuf/wkt'

/** A declaration that may have a comment. */
export type Commented = DescEnum | DescEnumValue | DescExtension | DescField | DescMessage | DescMethod | DescService

/**
 * The leading comment of `desc`, or else its trailing comment; empty without one, or if the schema was built without comments. Parts
 * for tools rather than readers are left out: lines of `buf:lint:` and `@`, and `(-- … --)` (AIP-192).
 */
export function commentOf(desc: Commented): string {
  return commentsOf(fileOf(desc)).get(pathOf(desc).join()) ?? ''
}

/** A comment's first sentence, without its full stop, and all of it where there is more. */
export function summaryOf(comment: string): {summary: string; description: string} {
  const [sentence = ''] = /^.*?(?:[.!?](?=\s+\p{Lu}|\s*$)|(?=\n\n)|$)/su.exec(comment) ?? []
  const summary = sentence.replace(/\s+/g, ' ').trim().replace(/\.$/, '')
  return {summary, description: sentence.length < comment.length ? comment : ''}
}

const known = new WeakMap<FileDescriptorProto, ReadonlyMap<string, string>>()

/** The comments of a file by path, as google/protobuf/descriptor.proto numbers them. */
function commentsOf(file: FileDescriptorProto): ReadonlyMap<string, string> {
  let comments = known.get(file)
  if (!comments) {
    const locations = file.sourceCodeInfo?.location ?? []
    comments = new Map(
      locations.map(({path, leadingComments, trailingComments}) => [
        path.join(),
        readable(leadingComments) || readable(trailingComments),
      ]),
    )
    known.set(file, comments)
  }
  return comments
}

function readable(comment: string): string {
  return (
    comment
      // A comment that began with two stars still has the second one.
      .replace(/^\*\n/, '')
      .replace(/\(--.*?--\)/gs, '')
      .split('\n')
      .map((line) => line.replace(/^ /, '').trimEnd())
      .filter((line) => !/^\s*(?:buf:lint:|@)/.test(line))
      .join('\n')
      .replace(/\n{3,}/g, '\n\n')
      .trim()
  )
}

function fileOf(desc: Commented): FileDescriptorProto {
  return 'file' in desc ? desc.file.proto : fileOf(desc.parent)
}

/** The path of `desc` in its file: field numbers of the descriptors, and indexes in them. */
function pathOf(desc: Commented): number[] {
  switch (desc.kind) {
    case 'message':
      return desc.parent
        ? [...pathOf(desc.parent), 3, desc.parent.proto.nestedType.indexOf(desc.proto)]
        : [4, desc.file.proto.messageType.indexOf(desc.proto)]
    case 'enum':
      return desc.parent
        ? [...pathOf(desc.parent), 4, desc.parent.proto.enumType.indexOf(desc.proto)]
        : [5, desc.file.proto.enumType.indexOf(desc.proto)]
    case 'extension':
      return desc.parent
        ? [...pathOf(desc.parent), 6, desc.parent.proto.extension.indexOf(desc.proto)]
        : [7, desc.file.proto.extension.indexOf(desc.proto)]
    case 'service':
      return [6, desc.file.proto.service.indexOf(desc.proto)]
    case 'enum_value':
      return [...pathOf(desc.parent), 2, desc.parent.proto.value.indexOf(desc.proto)]
    case 'field':
      return [...pathOf(desc.parent), 2, desc.parent.proto.field.indexOf(desc.proto)]
    case 'rpc':
      return [...pathOf(desc.parent), 2, desc.parent.proto.method.indexOf(desc.proto)]
  }
}
