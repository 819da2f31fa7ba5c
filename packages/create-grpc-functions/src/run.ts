import {relative} from 'node:path'
import {CreateError, createProject} from './create.ts'

/**
 * The command that makes a project: parses its arguments, and prints the new files and the next steps.
 * @param command the command line before the arguments, for the help
 */
export function runCreate(args: readonly string[], command: string): void {
  const [folder, ...more] = args
  if (!folder || folder.startsWith('-') || more.length > 0) {
    const asked = folder === '--help' || folder === '-h'
    const help = `${command} FOLDER: makes a project that serves gRPC services over HTTP in FOLDER`
    console[asked ? 'log' : 'error'](help)
    process.exitCode = asked ? 0 : 2
    return
  }
  try {
    console.log(createdText(folder, createProject(folder)))
  } catch (error) {
    if (!(error instanceof CreateError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}

/** The text about the new files in `folder` and the next steps. */
export function createdText(folder: string, files: readonly string[]): string {
  const steps = [...(relative('', folder) ? [`cd ${folder}`] : []), 'npm install', 'npm start']
  return `Created ${folder}: ${files.length} files\n\n${steps.map((step) => `  ${step}`).join('\n')}\n`
}
