import type { Reply } from './replies.js'

/** Whoever is told what is published. */
export interface Subscriber {
  push(message: Reply): void
}

/** SUBSCRIBE and PUBLISH: to whoever listens at the moment, and to nobody else. */
export class Channels {
  readonly #subscribers = new Map<string, Set<Subscriber>>()

  add(channel: string, subscriber: Subscriber): void {
    this.#subscribers.set(channel, (this.#subscribers.get(channel) ?? new Set()).add(subscriber))
  }

  remove(channel: string, subscriber: Subscriber): void {
    const subscribers = this.#subscribers.get(channel)
    if (subscribers?.delete(subscriber) && subscribers.size === 0) this.#subscribers.delete(channel)
  }

  /** @returns how many were told */
  publish(channel: string, message: string): number {
    const subscribers = this.#subscribers.get(channel) ?? new Set()
    for (const subscriber of subscribers) subscriber.push(['message', channel, message])
    return subscribers.size
  }
}
