import type {FaultyFile} from './mutations.ts'

const sets = ['test/transcoding/descriptor-sets.test.ts']
const lazy = ['test/transcoding/lazy-schema.test.ts', ...sets]

/** Faults in src/transcoding/schema/: what a set of descriptors says. */
export const schema: readonly FaultyFile[] = [
  {
    file: 'src/transcoding/schema/outline.ts',
    by: lazy,
    changes: [
      [
        'const maxLevel = 50',
        'const maxLevel = 5000',
        'messages that nest deeply are decoded by the first request, and fail',
      ],
      ['if (noKeys.has(key.type) || ', 'if (', 'a map by floats fails at its first request'],
      [' || !this.#seen(file).has(type.file)', '', 'a type of a file that is not imported fails at its first request'],
      ['if (begun.has(name)) refuse()', '', 'a circle of imports ends the process'],
      ['if (number === 2 && this.#types.size > before) refuse()', '', 'types before the package have wrong names'],
      [
        'if (field.oneof >= oneofs && !field.isOptional) refuse()',
        '',
        'a oneof that does not exist fails at its first request',
      ],
      [
        'if ($unknown?.some(({no}) => no === jsonOption)) refuse()',
        '',
        'JSON names of enum values are not checked at start',
      ],
      [
        "if (syntax === 'editions' ? !editions.has(edition) : !syntaxes.has(syntax)) refuse()",
        '',
        'an unknown syntax fails at the first request',
      ],
      [
        'file.publicDependencies.push(file.dependencies[index] ?? refuse())',
        'file.publicDependencies.push(file.dependencies[index]!)',
        'a public import that does not exist is an error without words',
      ],
      ['if (isMessage && camel in Object.prototype) refuse()', '', 'a field `to_string` is read as a function'],
      [
        'number === 5) sends = reader.number() !== 0',
        'number === 5) answers = reader.number() !== 0',
        'a client stream is served as a server stream',
      ],
      [' || field.type > Type.SINT64', '', 'a field of an unknown type fails at its first request'],
      ['if (this.#types.has(type.typeName)) refuse()', '', 'of two types of one name the last one wins'],
      [
        "if (camel === '' || fields.some(isTaken)) refuse()",
        '',
        'a JSON name that is the name of another field sets the other one',
      ],
      [
        "if (extendee === '' || this.#extensions.has(key)) refuse()",
        '',
        'of two extensions with one number the last one wins',
      ],
      ['number === 4 && optionsEnd === 0', 'number === 4', 'of options in two parts the first is dropped'],
      ['optionsStart = reader.start', 'optionsStart = 0', 'no method has a rule'],
      [
        'for (const imported of file.publicDependencies) this.#published(imported, found)',
        '',
        'types of public imports are not seen',
      ],
    ],
  },
  {
    file: 'src/transcoding/schema/wire-reader.ts',
    by: lazy,
    changes: [
      ['if (length !== otherEnd - otherStart) return false', '', 'names that begin alike are the same'],
      ['if (end > this.at && this.#bytes[end - 1]! >= 0x80) refuse()', '', 'numbers that are cut off are taken'],
      [
        'else if (type === WireType.Bit32) this.at += 4',
        'else if (type === WireType.Bit32) this.at += 8',
        'options with a float are read wrongly',
      ],
      [
        'if (no === number) found = [...found, ',
        'if (no === number) found = [',
        'of options in two parts the first is dropped',
      ],
      ['if (kinds[bytes[at]!] === 0) refuse()', '', 'a name with a space is taken'],
      [
        'if (this.at === end || kinds[this.#bytes[this.at]!] !== 2) refuse()',
        '',
        'a relative type name is another type',
      ],
      [
        'if (tag < 8 || tag >= numberLimit || this.at > start + maxTag) refuse()',
        '',
        'a field number of zero is taken',
      ],
      [
        'return fromBinary(desc, this.#bytes.subarray(start, end))\n    } catch {\n      return refuse()',
        'return fromBinary(desc, this.#bytes.subarray(start, end))\n    } catch (error) {\n      throw error',
        'malformed options end the start without a hint',
      ],
    ],
  },
  {
    file: 'src/transcoding/schema/lazy-registry.ts',
    by: lazy,
    changes: [
      [".replace(/\\.proto$/, '')", '', 'the log names files as x.proto.proto'],
      [
        'file.services.splice(0, services.length, ...own.services)',
        '',
        'a service is another one when it is found by its file',
      ],
      [
        'file.dependencies.splice(0, file.dependencies.length, ...own.dependencies)',
        '',
        'the imports of a file are empty',
      ],
      ['this.#decoded.set(name, decoded)', '', 'a message has two descriptors'],
      ['proto.messageType.forEach(addJsonNames)', '', 'fields of a set without JSON names have none'],
      ['.filter((published) => uses.has(published))', '', 'the first request decodes all imports'],
      [
        'this.#published(published, found)\n',
        'found.add(published)\n',
        'types of a public import of a public import are missing',
      ],
      [
        'return this.#outline.extensions.length === 0 ? [] : this.decoded.file.extensions',
        'return []',
        'a file has no extensions',
      ],
      [
        '[`${extension.number} ${extension.extendee}`, ',
        '[`${extension.number}`, ',
        'no extension is found by its number',
      ],
      [
        'return this.registry.reader.fieldsOf(number, optionsStart, optionsEnd)',
        'return []',
        'options such as google.api.routing are ignored',
      ],
      [
        "return type?.kind === 'enum' ? type : undefined",
        'return type as DescEnum',
        'a message is returned as an enum',
      ],
    ],
  },
  {
    file: 'src/transcoding/schema/link.ts',
    by: sets,
    changes: [
      [
        'for (const name of file.dependency) add(files.get(name)!)',
        '',
        'files in another order than that of their imports are refused',
      ],
      [
        'for (const needed of resolveTypes(file, declared, lacks)) add(needed)',
        'resolveTypes(file, declared, lacks)',
        'a file that does not import what it uses is refused',
      ],
      [
        'if (field.extendee) field.extendee = resolve(field.extendee, scope).full',
        '',
        'extensions of a relative type are refused',
      ],
      [
        "for (let at = scope; at !== ''; at = at.slice(0, at.lastIndexOf('.'))) {",
        'for (let at = scope; at === scope; at = `${scope}.`) {',
        'a type of an outer scope is not found',
      ],
      [
        'method.outputType = resolve(method.outputType, scopeOf(file)).full',
        '',
        'methods with relative types are refused',
      ],
      [
        'if (!isFieldSet(field, FieldDescriptorProtoSchema.field.type)) field.type = type',
        '',
        'a field without a type is refused',
      ],
      [
        'for (const nested of message.nestedType) yield* fieldsIn(nested, scope)',
        '',
        'fields of nested messages keep their relative types',
      ],
    ],
  },
  {
    file: 'src/transcoding/schema/schema.ts',
    by: [...sets, 'test/functions/gateway-descriptors.test.ts'],
    changes: [
      [
        'else if (!isSame(first, file)) fail',
        'else if (false) fail',
        'of two different files of one name the first one wins',
      ],
      [
        'clearField(copy, FileDescriptorProtoSchema.field.sourceCodeInfo)',
        '',
        'two sets, one of them with comments, cannot be joined',
      ],
      ['delete copy.$unknown', '', "two sets, one of them with buf's marks, cannot be joined"],
      [
        "if (bytes[0] === 0x1f && bytes[1] === 0x8b) return 'it is compressed with gzip'",
        '',
        'a set in gzip is said to be none',
      ],
      ["set.file.every(({name}) => name !== '')", 'true', 'another message is taken for a set'],
      ['[...missing].slice(0, 3)', '[...missing]', 'the error for a set without imports names hundreds of files'],
      [
        'for (const file of set.file) file.messageType.forEach(addJsonNames)',
        '',
        'fields of a set without JSON names have none',
      ],
      ['refuseMissingImports(files)\n  set', 'set', 'a missing import is an error without words'],
    ],
  },
  {
    file: 'src/transcoding/lazy-map.ts',
    by: ['test/transcoding/lazy-map.test.ts'],
    changes: [
      ['this.#made.set(key, made)', '', 'facts about a method are found again for each request'],
      [' || !this.has(key)', '', 'a method that is not served has conventions'],
    ],
  },
  {
    file: 'src/transcoding/schema/outline.ts',
    by: lazy,
    changes: [
      [
        'if (number !== 1) refuse()\n      this.#file(reader.end(end))',
        'if (number === 1) this.#file(reader.end(end))\n      else reader.skip(end)',
        'bytes of another kind are taken for a set',
      ],
      ['if (this.#files.size === 0) refuse()', '', 'a set without files is an error without words'],
      [
        "if (file.name === '' || this.#files.has(file.name)) refuse()",
        "if (file.name === '') refuse()",
        'of two files of one name the last one wins',
      ],
      [
        "if (file.name === '' || this.#files.has(file.name)) refuse()",
        'if (this.#files.has(file.name)) refuse()',
        'a file without a name is taken',
      ],
      [
        'const file = this.#files.get(name) ?? refuse()',
        'const file = this.#files.get(name)!',
        'an import that is missing is an error without words',
      ],
      [
        'else if (number > 15) reader.skip(end)\n      else refuse()',
        'else reader.skip(end)',
        'bytes of another kind are taken for a file',
      ],
      [
        'else if (number > 11) reader.skip(end)\n      else refuse()',
        'else reader.skip(end)',
        'what a message says is not known, and not left to the decoder',
      ],
      ['if (reader.field(end) !== 1) refuse()', 'reader.field(end)', 'a message without a name is taken'],
      ["if (typeName === '') refuse()", '', 'an enum without a name is taken'],
      ["if (name === '') refuse()\n  }", '}', 'a value of an enum without a name is taken'],
      ["if (name === '') refuse()\n    const typeName", 'const typeName', 'a service without a name is taken'],
      ["if (name === '') refuse()\n    const kind", 'const kind', 'a method without a name is taken'],
      [
        'else if (number > 6) reader.skip(end)\n      else refuse()\n    }\n    if (typeName',
        'else reader.skip(end)\n    }\n    if (typeName',
        'what an enum says is not known, and not left to the decoder',
      ],
      ["else if (typeName !== '') refuse()", '', 'text with the name of a type fails at its first request'],
      [
        'const type = this.#types.get(typeName) ?? refuse()',
        'const type = this.#types.get(typeName)!\n    if (!type) return',
        'a type that is nowhere fails at its first request',
      ],
      ['if (isEntry || !this.#seen', 'if (!this.#seen', "a map of another file's entry fails at its first request"],
      [
        "if (!isEntry && type.kind !== (kind === 'list' ? 'message' : kind)) refuse()",
        '',
        'a type of another kind fails at its first request',
      ],
      ['if (field.nameEnd === 0 || ', 'if (', 'a field without a name is taken'],
      ['field.type < Type.DOUBLE || ', '', 'a field without a type fails at its first request'],
      [
        'if (!key || !value || others.length > 0 || key.number !== 1 || value.number !== 2) refuse()',
        'if (!key || !value) refuse()',
        'a map with more than key and value fails at its first request',
      ],
      [
        'if (key.label === Label.REPEATED || value.label === Label.REPEATED) refuse()',
        '',
        'a map of lists fails at its first request',
      ],
      [" || key.typeName !== '') refuse()", ') refuse()', 'a map by enums fails at its first request'],
      [
        'if (!isName.test(reader.message(OneofDescriptorProtoSchema, end).name)) refuse()',
        'reader.message(OneofDescriptorProtoSchema, end)',
        'a oneof without a name is taken',
      ],
      [
        'reader.message(DescriptorProto_ExtensionRangeSchema, end)',
        'reader.skip(end)',
        'a malformed range of extensions fails at its first request',
      ],
      [
        'reader.message(DescriptorProto_ReservedRangeSchema, end)',
        'reader.skip(end)',
        'a malformed range fails at its first request',
      ],
      [
        'reader.message(EnumDescriptorProto_EnumReservedRangeSchema, end)',
        'reader.skip(end)',
        'a malformed range of an enum fails at its first request',
      ],
      [
        'reader.isSame(other.nameStart, other.nameEnd, jsonStart, jsonEnd)) refuse()',
        'false) refuse()',
        'a JSON name that is the name of another field sets the other one',
      ],
    ],
  },
  {
    file: 'src/transcoding/schema/wire-reader.ts',
    by: ['test/transcoding/wire-reader.test.ts', ...lazy],
    changes: [
      [
        'if (this.at >= end) return this.at === end ? 0 : refuse()',
        'if (this.at >= end) return 0',
        'a field behind the end of its message is taken',
      ],
      ['return value < numberLimit ? value : refuse()', 'return value', 'a number beyond 31 bits is another number'],
      ['return end <= limit ? end : refuse()', 'return end', 'a length beyond the end is taken'],
      ['if (this.start === end) refuse()', '', 'an empty name is taken'],
      ['if (kinds[bytes[at]!] !== 1) refuse()', '', 'a name with a dot is taken'],
      ['if (this.#type !== WireType.LengthDelimited) refuse()', '', 'a number is taken for a length'],
      ['byte = bytes[this.at++] ?? refuse()', 'byte = bytes[this.at++] ?? 0', 'a number that is cut off is taken'],
      [
        'const isPlain = number >= firstExtension || (',
        'const isPlain = number >= 1 || (',
        'malformed options of the compiler are taken',
      ],
      ['if (this.#type !== WireType.Varint) refuse()\n    const', 'const', 'text is taken for a number'],
      ['if (this.#type !== WireType.Varint) refuse()\n    this', 'this', 'text is skipped as a number'],
      ['const maxVarint = 10', 'const maxVarint = 100', 'a number of a hundred bytes is taken'],
      ['this.at > start + maxTag', 'false', 'a tag of six bytes is taken'],
      ['tag >= numberLimit || ', '', 'a tag beyond 31 bits is another field'],
      [
        'else if (type === WireType.Bit64) this.at += 8\n    else refuse()',
        'else if (type === WireType.Bit64) this.at += 8',
        'a group is skipped as nothing',
      ],
    ],
  },
]
