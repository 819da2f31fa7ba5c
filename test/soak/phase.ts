import {setTimeout as pause} from 'node:timers/promises'
import {exchange} from './exchange.ts'
import {mendAll, type Planned, schedule} from './faults.ts'
import type {Figures} from './figures.ts'
import {Findings, type Span} from './findings.ts'
import {actHostile} from './hostile.ts'
import {Judge} from './judge.ts'
import type {Random} from './random.ts'
import {anyTask, kinds} from './requests.ts'
import {requestSeconds, startWorld, type World} from './world.ts'

/** How much more may be left at the end of a phase than at its beginning. */
const slack = {heap: 6 * 1024 * 1024, external: 6 * 1024 * 1024, objects: 30, resources: 6, listeners: 2}
/** Maximum time from SIGTERM to the end of an instance, in ms. */
const mostShutdown = 10_000
/** Time between the starts of two requests, in ms, whether earlier requests have been answered or not. */
const [leastApart, mostApart] = [1, 60]
/** Limit for requests in flight, not counting bursts. */
const mostUnderWay = 80
/** Timeout of an answer, in ms: the request's own limit, plus time for freezes and a busy machine. */
const patience = (requestSeconds + 25) * 1000
/** A timer that is this late, in ms, shows that the machine is too busy for any check of time. */
const starvation = 200
/** How long after a fault something can be its consequence, in ms. */
const aftermath = 2500
/** How long after a fault the functions may still report that a backend is down, in ms. */
const recovery = 6000

/** A phase, and its findings. */
export interface PhaseReport {
  readonly requests: number
  readonly faults: number
  readonly statuses: ReadonlyMap<string, number>
  readonly findings: readonly string[]
  readonly before: Figures
  readonly after: Figures
  /** Maximum of resident memory, in bytes. */
  readonly peak: number
  /** Time from SIGTERM to the end, in ms. */
  readonly shutdown: number
  /** How often each message was logged. */
  readonly said: ReadonlyMap<string, number>
}

export interface PhaseOptions {
  /** Duration of the faults, in ms. */
  readonly ms: number
  /** The minimum number of requests, however long they take. */
  readonly requests: number
  /** How often the instance is frozen at the beginning, with nothing broken. */
  readonly freezes: number
  readonly random: Random
  readonly name: string
  readonly tell: (line: string) => void
  readonly verbose: boolean
}

/** Runs one instance from its start to its SIGTERM, with faults in between. */
export async function runPhase(options: PhaseOptions): Promise<PhaseReport> {
  await using world = await startWorld(options.random.fork())
  return await new Phase(world, options).run()
}

class Phase {
  readonly #world: World
  readonly #options: PhaseOptions
  readonly #judge: Judge
  readonly #findings: Findings
  readonly #random: Random
  readonly #plan: readonly Planned[]
  readonly #history: {readonly at: number; readonly title: string}[] = []
  /** When a timer of ours was late, in ms since the epoch. */
  readonly #starved: number[] = []
  readonly #work = new Set<Promise<unknown>>()
  #began = 0
  #count = 0
  #faults = 0
  #peak = 0
  #calm = true

  constructor(world: World, options: PhaseOptions) {
    this.#world = world
    this.#options = options
    this.#random = options.random.fork()
    this.#plan = schedule(options.random.fork(), options.ms)
    this.#findings = new Findings((span) => this.#happened(span))
    this.#judge = new Judge(world, this.#findings)
  }

  get #elapsed(): number {
    return this.#began ? Date.now() - this.#began : 0
  }

  /** The faults that may have caused something that happened during `span`, or now. */
  #happened([from, to]: Span = [Date.now(), Date.now()]): string {
    const [first, last] = [from - this.#began - aftermath, to - this.#began]
    const faults = this.#history.filter(({at}) => at >= first && at <= last).map(({at, title}) => `${at} ${title}`)
    return `from ${from - this.#began} to ${last} ms; ${faults.join('; ') || 'nothing broken'}`
  }

  async run(): Promise<PhaseReport> {
    const {tell} = this.#options
    await this.#eachKind(6)
    const before = await this.#atRest()
    tell(`  warm: ${inMiB(before.heap)} of heap, ${before.objects.Socket} sockets`)
    await this.#freeze()
    await this.#breakThings()
    await this.#recover()
    await this.#eachKind(4)
    const after = await this.#atRest(before)
    this.#compareFigures(before, after)
    const shutdown = await this.#shutDown()
    this.#judge.compare(([from, to]) => this.#starved.some((at) => at >= from && at <= to + 1000))
    return {
      requests: this.#judge.asked,
      faults: this.#faults,
      statuses: this.#judge.statuses,
      findings: this.#findings.lines,
      before,
      after,
      peak: this.#peak,
      shutdown,
      said: this.#world.instance.said,
    }
  }

  /** Sends `rounds` of each kind of request, four at a time. */
  async #eachKind(rounds: number): Promise<void> {
    const makers = Array.from({length: rounds}, () => kinds.map(([, make]) => make)).flat()
    const ask = async () => {
      for (let make = makers.pop(); make; make = makers.pop()) {
        const id = this.#id()
        await this.#ask(id, make(id, this.#random, this.#world))
      }
    }
    await Promise.all(Array.from({length: 4}, ask))
  }

  /** Freezes with nothing broken: no call fails, and the connection stays in use. */
  async #freeze(): Promise<void> {
    const {instance, network} = this.#world
    const before = network.sharp.accepted
    const {freezes, tell} = this.#options
    for (let freeze = 0; freeze < freezes; freeze++) {
      await instance.freeze()
      await pause(this.#random.size(10, 1500))
      await instance.thaw()
      const id = this.#id()
      await this.#ask(id, kinds[0]![1](id, this.#random, this.#world))
    }
    const needless = network.sharp.accepted - before
    tell(`  ${freezes} freezes with nothing broken: ${needless} new connections`)
    // If the machine is so busy that no PING is answered in time, a new connection is justified.
    if (needless > freezes / 10) this.#findings.add('freezes with nothing broken: needless connections', `${needless}`)
  }

  /** Sends requests, with the faults of the schedule. */
  async #breakThings(): Promise<void> {
    const {ms, requests, tell} = this.#options
    this.#began = Date.now()
    this.#calm = false
    const isOver = () => this.#elapsed >= ms && this.#count >= requests
    const load = this.#callUntil(isOver)
    let last = Date.now()
    const watch = setInterval(() => {
      const now = Date.now()
      if (now - last > 100 + starvation) this.#starved.push(now)
      last = now
      this.#peak = Math.max(this.#peak, this.#world.instance.rss)
    }, 100)
    const progress = setInterval(() => tell(`  ${Math.round(this.#elapsed / 1000)} s: ${this.#progress()}`), 10_000)
    try {
      await this.#runSchedule()
      await mendAll(this.#world)
      await load
      while (this.#work.size > 0) await Promise.all(this.#work)
    } finally {
      clearInterval(watch)
      clearInterval(progress)
    }
  }

  #progress(): string {
    const statuses = [...this.#judge.statuses].map(([status, count]) => `${count} x ${status}`).join(', ')
    return `${this.#faults} faults, ${this.#judge.asked} requests (${statuses}), ${this.#findings.size} findings`
  }

  /** Runs the schedule, and repeats it until there were enough requests. */
  async #runSchedule(): Promise<void> {
    const {ms, requests} = this.#options
    for (let round = 0; round === 0 || this.#count < requests; round++) {
      for (const fault of this.#plan) {
        await pause(Math.max(0, fault.at + round * ms - this.#elapsed))
        await this.#commit(fault)
      }
      await pause(Math.max(0, (round + 1) * ms - this.#elapsed))
    }
  }

  async #commit(fault: Planned): Promise<void> {
    this.#faults++
    this.#history.push({at: this.#elapsed, title: fault.title})
    if (this.#options.verbose) this.#options.tell(`  ${this.#elapsed} ${fault.title}`)
    const stage = {
      burst: (count: number) => {
        for (let more = 0; more < count; more++) this.#track(this.#askAny(this.#random.fork()))
      },
      hostile: (act: string, count: number) => {
        for (let more = 0; more < count; more++) this.#track(this.#actHostile(act))
      },
      track: (work: Promise<unknown>) => this.#track(work),
    }
    await fault.begin(this.#world, stage)
    const {end} = fault
    if (end) this.#track(pause(fault.lasts).then(() => end(this.#world)))
  }

  #track(work: Promise<unknown>): void {
    const tracked = work.finally(() => this.#work.delete(tracked))
    this.#work.add(tracked)
  }

  async #callUntil(isOver: () => boolean): Promise<void> {
    const random = this.#random.fork()
    while (!isOver()) {
      if (this.#work.size < mostUnderWay) this.#track(this.#askAny(random))
      await pause(random.size(leastApart, mostApart))
    }
  }

  #askAny(random: Random): Promise<unknown> {
    const id = this.#id()
    return this.#ask(id, anyTask(id, random, this.#world))
  }

  async #ask(id: string, task: ReturnType<typeof anyTask>): Promise<number> {
    const [began, calm] = [Date.now(), this.#calm]
    const answer = await exchange(this.#world.instance.url, task.ask, id, patience)
    this.#judge.judge(id, task, answer, {began, calm})
    if (this.#options.verbose && answer.status !== 200) {
      const {status, error = '', text} = answer
      this.#options.tell(
        `  ${began - this.#began} to ${this.#elapsed} ${task.kind} ${id}: ${status} ${error} ${text.slice(0, 200)}`,
      )
    }
    return answer.status
  }

  #actHostile(act: string): Promise<void> {
    return actHostile(act, {
      url: this.#world.instance.url,
      random: this.#random.fork(),
      findings: this.#findings,
      id: () => this.#id(),
      unanswered: (id, act) => this.#judge.unanswered(id, act),
    })
  }

  #id(): string {
    return `${this.#options.name}-r${++this.#count}`
  }

  /** Nothing is broken any more: answers succeed at once, or within a while if a backend was known to be down. */
  async #recover(): Promise<void> {
    const until = Date.now() + recovery
    for (const [, make] of kinds) {
      for (;;) {
        const id = this.#id()
        const task = make(id, this.#random, this.#world)
        const began = Date.now()
        const answer = await exchange(this.#world.instance.url, task.ask, id, patience)
        const waits = answer.status === 503 && Date.now() < until
        this.#judge.judge(id, task, answer, {began, calm: !waits})
        if (!waits) break
        await pause(100)
      }
    }
    this.#calm = true
  }

  /** The process's figures without requests: as soon as they are as low as `before`, or after a while. */
  async #atRest(before?: Figures): Promise<Figures> {
    for (let round = 0; ; round++) {
      await pause(before ? 1000 : 3000)
      const figures = await this.#world.instance.figures()
      if (!before || round >= 10 || excesses(before, figures).length === 0) return figures
    }
  }

  #compareFigures(before: Figures, after: Figures): void {
    for (const [name, from, to] of excesses(before, after)) {
      this.#findings.add(`${name}: more at the end than at the beginning`, `${from} before, ${to} after`)
    }
  }

  /** Sends SIGTERM at a moment when many requests are in flight. */
  async #shutDown(): Promise<number> {
    const {instance} = this.#world
    this.#calm = false
    let isOver = false
    const load = this.#callUntil(() => isOver)
    await pause(this.#random.size(20, 1500))
    const began = Date.now()
    instance.terminate()
    const code = await Promise.race([instance.exited, pause(mostShutdown + 5000, 'never' as const, {ref: false})])
    const took = Date.now() - began
    isOver = true
    if (code !== 0) this.#findings.add('SIGTERM: another exit code than 0', `${code}`)
    if (took > mostShutdown) this.#findings.add('SIGTERM: too late', `${took} ms`)
    if (code === 'never') instance.kill()
    await load
    await Promise.all(this.#work)
    return took
  }
}

/** The figures that are higher than before, with both values. */
function excesses(before: Figures, after: Figures): (readonly [string, number, number])[] {
  const rows: (readonly [string, number, number, number])[] = [
    ['heap', before.heap, after.heap, slack.heap],
    ['external memory', before.external, after.external, slack.external],
    ['listeners', before.listeners, after.listeners, slack.listeners],
  ]
  for (const [name, count] of Object.entries(after.objects)) {
    rows.push([`objects of ${name}`, before.objects[name] ?? 0, count, slack.objects])
  }
  for (const [name, count] of Object.entries(after.resources)) {
    rows.push([`resources ${name}`, before.resources[name] ?? 0, count, slack.resources])
  }
  return rows.filter(([, from, to, more]) => to > from + more).map(([name, from, to]) => [name, from, to])
}

export function inMiB(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}
