// Ends the process with one line when Node is too old. Imported before anything else, by main.js and by npm's scripts, and in
// plain JavaScript because an old Node can read no TypeScript. The version is also in package.json's "engines".
const oldest = 24

if (Number.parseInt(process.versions.node, 10) < oldest) {
  console.error(`Node ${process.versions.node} is too old: expected Node ${oldest} or later`)
  process.exit(1)
}
