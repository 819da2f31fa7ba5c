import test from 'ava'
import {refused} from './gateway-client.ts'
import {type Any, type Served, startServed} from './gateway-services.ts'

const proto = `syntax = "proto3";
package books;
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";

service Books {
  rpc UpdateBook(UpdateBookRequest) returns (UpdateBookRequest) {
    option (google.api.http) = {
      patch: "/v1/{book.name=books/*}" body: "book"
      additional_bindings {put: "/v1/{book.name=books/*}" body: "book"}
      additional_bindings {patch: "/v1/books:any" body: "*"}
    };
  }
}

message Book {
  string name = 1;
  string title = 2;
  repeated string subject_words = 3;
  Author main_author = 4;
  map<string, string> labels = 5;
  google.protobuf.Struct more_data = 6;
  optional int32 page_count = 7;
}
message Author {
  string full_name = 1;
  string home_town = 2;
}
message UpdateBookRequest {
  Book book = 1;
  google.protobuf.FieldMask update_mask = 2;
}
`

let app: Served
test.before(async () => {
  app = await startServed({protos: {'books.proto': proto}, echoes: ['books.Books']})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const json = {'content-type': 'application/json'}
const form = {'content-type': 'application/x-www-form-urlencoded'}
const multipart = {'content-type': 'multipart/form-data; boundary=cut'}
const part = (name: string, value: string) =>
  `--cut\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`

/** A request, and the update mask that the backend gets: in JSON, so in lowerCamelCase; null for none. */
for (const [words, line, headers, body, mask] of [
  ['one field', 'PATCH /v1/books/1', json, '{"title": "Dune 2"}', 'title'],
  ['a zero value', 'PATCH /v1/books/1', json, '{"title": "", "pageCount": 0}', 'title,pageCount'],
  ['by proto names', 'PATCH /v1/books/1', json, '{"page_count": 1, "subject_words": []}', 'pageCount,subjectWords'],
  ['nested', 'PATCH /v1/books/1', json, '{"mainAuthor": {"homeTown": "Tacoma"}}', 'mainAuthor.homeTown'],
  ['null', 'PATCH /v1/books/1', json, '{"mainAuthor": null, "title": null}', 'mainAuthor,title'],
  ['wholes', 'PATCH /v1/books/1', json, '{"labels": {"a": "b"}, "moreData": {"c": {}}}', 'labels,moreData'],
  ['a form', 'PATCH /v1/books/1', form, 'title=Dune&mainAuthor.fullName=', 'title,mainAuthor.fullName'],
  ['a multipart form', 'PATCH /v1/books/1', multipart, `${part('title', 'Dune')}--cut--\r\n`, 'title'],
  ['given', 'PATCH /v1/books/1?updateMask=pageCount', json, '{"title": "Dune"}', 'pageCount'],
  ['given in snake_case', 'PATCH /v1/books/1?update_mask=*', json, '{"title": "Dune"}', '*'],
  ['given, but empty', 'PATCH /v1/books/1?updateMask=', json, '{"title": "Dune"}', 'title'],
  ['nothing written', 'PATCH /v1/books/1', json, '{}', ''],
  ['no body', 'PATCH /v1/books/1', {}, undefined, ''],
  ['another method', 'PUT /v1/books/1', json, '{"title": "Dune"}', null],
  ['the whole message as body', 'PATCH /v1/books:any', json, '{"book": {"title": "Dune"}}', null],
] as const) {
  test.serial(`the update mask: ${words}: ${line} of ${JSON.stringify(body ?? '')}`, async (t) => {
    const response = await app.send(line, {headers, ...(body && {body})})
    t.is(response.status, 200, response.text)
    t.is(response.json.updateMask ?? null, mask)
  })
}

test.serial('a body that cannot be read is refused, without a mask', async (t) => {
  refused(t, await app.send('PATCH /v1/books/1', {headers: json, body: '{"titel": "a"}'}), 400, 'book.titel')
})

test.serial('a backend for which no mask means all fields keeps what a PATCH does not contain', async (t) => {
  let stored: Any = {name: 'a', age: 36, longId: 5n}
  using _ = app.echo.handle({
    whole({child, mask}: Any) {
      // As in AIP-134: without a mask, all fields are replaced.
      const local = (path: string) => path.replace(/_(\w)/g, (_all, letter: string) => letter.toUpperCase())
      const paths = mask?.paths.map(local) ?? ['name', 'age', 'longId']
      stored = {...stored, ...Object.fromEntries(paths.map((path: string) => [path, child[path]]))}
      return {child: stored}
    },
  })
  const {json: answer} = await app.send('PATCH /whole/a/1', {headers: json, body: '{"age": 0, "long_id": "6"}'})
  t.deepEqual(answer, {child: {name: 'a', longId: '6'}})
})

test.serial('the description says that the mask is filled in', async (t) => {
  const {json: document} = await app.send('GET /openapi.json')
  const path = Object.keys(document.paths).find((path) => path.startsWith('/v1/books/'))!
  const mask = document.paths[path].patch.parameters.find(({name}: {name: string}) => name === 'updateMask')
  t.regex(mask.description, /the fields that are in the body/)
  t.not(mask.required, true)
})
