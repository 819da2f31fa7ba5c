import {cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync} from 'node:fs'
import {dirname, join, relative} from 'node:path'
import ignore, {type Ignore} from 'ignore'

/** The project. */
export const root = join(import.meta.dirname, '..')

/** What .gcloudignore keeps out; gcloud minds the case of letters, as Python's fnmatch does. */
export function leftOut(): Ignore {
  return ignore({ignorecase: false}).add(readFileSync(join(root, '.gcloudignore'), 'utf8'))
}

/** Copies into `folder` what gcloud sends. */
export function send(folder: string): void {
  const left = leftOut()
  for (const name of readdirSync(root)) {
    const isSent = (path: string) => {
      const inside = relative(root, path)
      return !left.ignores(existsSync(join(path, '.')) ? `${inside}/` : inside)
    }
    if (name !== '.git' && name !== 'node_modules' && isSent(join(root, name))) {
      cpSync(join(root, name), join(folder, name), {recursive: true, filter: isSent})
    }
  }
}

/** Gives `folder` the packages of this project's that are left when devDependencies are pruned. */
export function linkPackages(folder: string): void {
  const {packages} = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, {dev?: boolean; link?: boolean}>
  }
  for (const [path, {dev, link}] of Object.entries(packages)) {
    if (!/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) || dev || link || !existsSync(join(root, path))) continue
    mkdirSync(dirname(join(folder, path)), {recursive: true})
    symlinkSync(join(root, path), join(folder, path))
  }
}
