import {execFileSync} from 'node:child_process'
import {createHash} from 'node:crypto'
import {once} from 'node:events'
import {existsSync, mkdirSync, readFileSync, symlinkSync} from 'node:fs'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import {homedir} from 'node:os'
import {basename, join} from 'node:path'

const root = join(import.meta.dirname, '../..')

/** A local npm registry: serves our packed packages, and all others as in package-lock.json. It fetches nothing itself. */
export interface Registry {
  /** Environment variables with which npm uses this registry. */
  readonly env: Readonly<Record<string, string>>
  /** Serves a packed package as the latest version of its name, in addition to earlier versions. */
  publish(tarball: string): void
  close(): Promise<void>
}

interface Version {
  readonly name: string
  readonly version: string
  readonly dist: {readonly tarball: string; readonly integrity: string}
}

/**
 * @param folder for npm's cache. It shares the contents of the cache that `npm ci` has filled: npm finds a tarball there by its
 * integrity, and requests a missing tarball from the registry that `npm ci` used.
 */
export async function startRegistry(folder: string): Promise<Registry> {
  const versions = lockedVersions()
  const tarballs = new Map<string, Buffer>()
  const latest = new Map<string, string>()

  const server = createServer(({url = '/'}, response) => {
    const path = decodeURIComponent(url.slice(1))
    const tarball = tarballs.get(path)
    if (tarball) return void response.end(tarball)
    const known = versions.get(path)
    if (!known) return void response.writeHead(404).end('{}')
    const tag = latest.get(path) ?? [...known.keys()][0]
    const packument = {name: path, 'dist-tags': {latest: tag}, versions: Object.fromEntries(known)}
    response.writeHead(200, {'content-type': 'application/json'}).end(JSON.stringify(packument))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

  return {
    env: {
      npm_config_registry: url,
      // A tarball that is not in the cache is fetched from its URL in the lockfile.
      npm_config_replace_registry_host: 'never',
      npm_config_cache: cacheLike(npmCache(), folder),
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
      npm_config_yes: 'true',
    },
    publish(path) {
      const bytes = readFileSync(path)
      const manifest = JSON.parse(
        execFileSync('tar', ['-xzOf', path, 'package/package.json'], {encoding: 'utf8'}),
      ) as Version
      const {name, version} = manifest
      const file = `-/${basename(path)}`
      tarballs.set(file, bytes)
      const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
      const known = versions.get(name) ?? new Map<string, Version>()
      versions.set(name, known.set(version, {...manifest, dist: {tarball: url + file, integrity}}))
      latest.set(name, version)
    },
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** The versions in package-lock.json, with all that npm needs to choose and check them. */
function lockedVersions(): Map<string, Map<string, Version>> {
  const registry = process.env.npm_config_registry ?? 'https://registry.npmjs.org/'
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, {version?: string; resolved?: string; integrity?: string}>
  }
  const versions = new Map<string, Map<string, Version>>()
  for (const [path, {version, resolved, integrity, ...manifest}] of Object.entries(lock.packages)) {
    if (!version || !integrity) continue
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const tarball = resolved ?? new URL(`${name}/-/${basename(name)}-${version}.tgz`, registry).href
    const known = versions.get(name) ?? new Map<string, Version>()
    versions.set(name, known.set(version, {...manifest, name, version, dist: {tarball, integrity}}))
  }
  return versions
}

function npmCache(): string {
  return process.env.npm_config_cache ?? join(homedir(), '.npm')
}

/** A cache in `folder` with its own index over the contents of `cache`: it finds these contents by their integrity. */
function cacheLike(cache: string, folder: string): string {
  const contents = join(cache, '_cacache/content-v2')
  const own = join(folder, '_cacache')
  mkdirSync(own, {recursive: true})
  if (existsSync(contents)) symlinkSync(contents, join(own, 'content-v2'))
  return folder
}
