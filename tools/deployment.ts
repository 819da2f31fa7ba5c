import {cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync} from 'node:fs'
import {dirname, join, relative} from 'node:path'
import ignore, {type Ignore} from 'ignore'

/** This repository. */
export const root = join(import.meta.dirname, '..')

/** The rules of .gcloudignore. gcloud matches case-sensitively, like Python's fnmatch. */
export function leftOut(root: string): Ignore {
  return ignore({ignorecase: false}).add(readFileSync(join(root, '.gcloudignore'), 'utf8'))
}

/** Copies into `folder` the files of the project `root` that gcloud uploads. */
export function send(folder: string, root: string): void {
  const left = leftOut(root)
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

/** Links into `folder` the installed packages of the project `root` that are left when devDependencies are pruned. */
export function linkPackages(folder: string, root: string): void {
  const {packages} = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, {dev?: boolean; link?: boolean}>
  }
  for (const [path, {dev, link}] of Object.entries(packages)) {
    if (!/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) || dev || link || !existsSync(join(root, path))) continue
    mkdirSync(dirname(join(folder, path)), {recursive: true})
    symlinkSync(join(root, path), join(folder, path))
  }
}
