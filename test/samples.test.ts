import {mkdirSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import test from 'ava'
import {projectWithoutSamples} from './helpers/project.ts'
import {runScript} from './helpers/start.ts'

/** A proto by Google's API improvement proposals, with an annotation that this project does not contain. */
const protos = {
  'google/api/field_behavior.proto': `
syntax = "proto3";
package google.api;
import "google/protobuf/descriptor.proto";
extend google.protobuf.FieldOptions {
  repeated FieldBehavior field_behavior = 1052 [packed = false];
}
enum FieldBehavior {
  FIELD_BEHAVIOR_UNSPECIFIED = 0;
  OPTIONAL = 1;
  REQUIRED = 2;
}
`,
  'example/library/v1/library.proto': `
syntax = "proto3";
package example.library.v1;
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
import "google/protobuf/empty.proto";
service Library {
  rpc GetBook(GetBookRequest) returns (Book) {
    option (google.api.http) = {get: "/v1/{name=shelves/*/books/*}"};
  }
  rpc DeleteBook(DeleteBookRequest) returns (google.protobuf.Empty) {
    option (google.api.http) = {delete: "/v1/{name=shelves/*/books/*}"};
  }
}
message GetBookRequest {
  string name = 1 [(google.api.field_behavior) = REQUIRED];
}
message DeleteBookRequest {
  string name = 1 [(google.api.field_behavior) = REQUIRED];
}
message Book {
  string name = 1;
  string title = 2;
}
`,
}

const services = `import {Library} from '../src/gen/example/library/v1/library_pb.js'
import {service} from './grpc/service.ts'

export const services = [service(Library, {getBook: ({name}) => ({name, title: 'Emma'})})]
`

test("without samples, and with a proto of one's own, the project generates, passes its checks, and starts", async (t) => {
  const {folder, run} = projectWithoutSamples(t)
  await run(['ava', 'test/gen.test.ts', 'test/functions/app.test.ts'])

  for (const [path, text] of Object.entries(protos)) {
    const file = join(folder, 'proto', path)
    mkdirSync(dirname(file), {recursive: true})
    writeFileSync(file, text)
  }
  writeFileSync(join(folder, 'local/services.ts'), services)
  for (const script of ['generate', 'lint', 'check']) await run(['npm', 'run', script])
  await run(['ava', 'test/gen.test.ts', 'test/functions/openapi.test.ts'])

  const started = runScript(t, 'start', {PORT: '0'}, folder)
  const url = (await started.line(/^ready /)).slice('ready '.length)
  t.is((await fetch(`${url}/ping?message=hi`)).status, 200)
  const book = await fetch(`${url}/v1/shelves/1/books/emma`)
  t.deepEqual(await book.json(), {name: 'shelves/1/books/emma', title: 'Emma'})
  const {error} = (await (await fetch(`${url}/v1/shelves/1/books/emma`, {method: 'DELETE'})).json()) as {
    error: {message: string}
  }
  t.is(error.message, 'example.library.v1.Library/DeleteBook is not implemented: add it to local/services.ts')
  t.is((await fetch(`${url}/api/person/Ada/36/hello`)).status, 404)
})
