/** A server-sent event, as a browser dispatches it. */
export interface SentEvent {
  readonly event: string
  readonly data: string
  /** The event's id, or else the id of the last event that had one. */
  readonly id: string
}

/**
 * The events in `text`, and the reconnection time if it has one.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export function eventsIn(text: string): {events: SentEvent[]; retry: number | undefined} {
  const events: SentEvent[] = []
  let retry: number | undefined
  let id = ''
  let event = ''
  let data: string[] = []
  for (const line of text.split(/\r\n|[\r\n]/)) {
    const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
    if (line === '') {
      if (data.length > 0) events.push({event: event || 'message', data: data.join('\n'), id})
      event = ''
      data = []
    } else if (name === 'data') data.push(value)
    else if (name === 'event') event = value
    else if (name === 'id') id = value
    else if (name === 'retry') retry = Number(value)
  }
  return {events, retry}
}
