import {root} from '../tools/deployment.ts'
import {type ColdFigures, type ColdStart, coldStart, firstRequests} from './lib/cold-process.ts'
import {deployed} from './lib/deployed.ts'
import {end, median, stackProcess} from './lib/processes.ts'
import {keep, roundsOr, spreadOf} from './lib/results.ts'

/**
 * Time, CPU and idle memory of a new instance until it has answered its first request, as ratios to a hello world on the same
 * framework: our functions from source and from the build, and a function by hand with grpc-js and Google's library for the token.
 * Medians; the subjects take turns.
 */
const rounds = roundsOr(9)
/** Aims for the build, as multiples of hello. */
const aims = {cpu: 2, rss: 1.3}

using build = await deployed()

const upload = JSON.stringify({bucket: 'samples', object: 'object', context: {creatorId: 'me', name: 'object'}})
const uploads = {path: '/', body: {type: 'application/json', text: upload}}
const source = 'src/deployed.ts'
const subjects = {
  hello: {project: root, source: 'bench/peers/hello.js', target: 'hello', path: '/'},
  'by hand': {project: root, source: 'bench/peers/by-hand.js', target: 'byHand', path: '/?message=hi'},
  'ping, source': {project: root, source, target: 'ping', ...firstRequests.ping},
  'gateway, source': {project: root, source, target: 'gateway', ...firstRequests.gateway},
  'upload, source': {project: root, source, target: 'upload', ...firstRequests.upload},
  ping: {project: build.folder, target: 'ping', ...firstRequests.ping},
  gateway: {project: build.folder, target: 'gateway', ...firstRequests.gateway},
  upload: {project: build.folder, target: 'upload', ...firstRequests.upload},
  'upload, Storage': {project: build.folder, target: 'upload', ...uploads},
} as const satisfies Record<string, ColdStart>
type Subject = keyof typeof subjects
const names = Object.keys(subjects) as Subject[]

const stack = await stackProcess({size: 64 * 1024})
const env = {...stack.env, AUTH: 'none', K_SERVICE: 'bench'}
const figures = Object.fromEntries(names.map((name) => [name, [] as ColdFigures[]])) as Record<Subject, ColdFigures[]>
try {
  for (let round = 0; round < rounds; round++) {
    for (const name of names) figures[name].push(await coldStart(subjects[name], env))
  }
} finally {
  await end(stack.child, 'stop')
}

const missed = (['ping', 'gateway', 'upload'] as const).flatMap((name) =>
  (Object.keys(aims) as (keyof typeof aims)[])
    .filter((key) => ratio(name, key) > aims[key])
    .map((key) => `${name}: ${key} is ${ratio(name, key)} of hello`),
)
keep('cold-start', [
  {
    title: `From the start of the process to the end of its first answer, ${rounds} times each`,
    rows: Object.fromEntries(
      names.map((name) => [
        name,
        {
          ms: spread(name, 'ms'),
          '× hello': ratio(name, 'ms'),
          'CPU ms': spread(name, 'cpu'),
          'CPU × hello': ratio(name, 'cpu'),
          'idle MiB': spread(name, 'rss'),
          'MiB × hello': ratio(name, 'rss'),
        },
      ]),
    ),
    chart: 'ms',
    verdict: `Aim: CPU at most ${aims.cpu} of hello, memory ${aims.rss}. ${missed.join('; ') || 'Met'}.`,
  },
])
if (missed.length > 0) process.exitCode = 1

function spread(name: Subject, key: keyof ColdFigures) {
  return spreadOf(figures[name].map((figure) => figure[key] ?? Number.NaN))
}

function of(name: Subject, key: keyof ColdFigures): number {
  return median(figures[name].map((figure) => figure[key] ?? Number.NaN))
}

function ratio(name: Subject, key: keyof ColdFigures): number {
  return Number((of(name, key) / of('hello', key)).toFixed(2))
}
