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
]
