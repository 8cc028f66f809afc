// Pages that were read ahead, and the callers that ask for messages: each message goes to exactly one caller, in order.

import type { StreamerError } from "../../../resp/errors.ts";
import { Queue } from "../../../resp/connection/pipeline/queue.ts";
import { compareIds, type MessageId } from "../../model/id.ts";
import { Message, messageAt, messageEntry, type MessageSource } from "../../model/message.ts";

/** Decides about each message of a section before it is returned. Only for messages that are acknowledged. */
export interface Handing {
  /** Takes an entry to return it; false if it must not be returned any more. */
  take(index: number): boolean;
  /** How often an entry was delivered, including this delivery. */
  deliveriesOf(index: number): number;
  /** How many messages may be returned now. If none, {@linkcode PrefetchQueue.serve} is to be called later. */
  allowance(): number;
}

/** The entries of one shard in a page, returned one by one. */
export interface Section {
  readonly source: MessageSource;
  /** The place of each entry on the frame's tape. */
  readonly entries: Int32Array;
  /** How many have been returned. */
  taken: number;
  /** The shard's position before this section. */
  readonly before: MessageId;
  /** The section's share of the page's bytes. */
  readonly bytes: number;
  readonly handing?: Handing;
}

/** One reply's worth of sections, or what several replies have brought that count as one page. */
export interface Page {
  readonly sections: Section[];
  /** What identifies the replies that count as one page. @default {this is the only one} */
  readonly round?: object | undefined;
  /** Whether the page consists of messages that were put back: few, as they were taken together. */
  readonly putBack?: boolean;
}

interface Asker {
  /** Most messages; 0 for a single one, not in an array. */
  readonly max: number;
  readonly give: (messages: Message[]) => void;
  readonly refuse: (reason: unknown) => void;
  /** Stops asking. */
  readonly leave: () => void;
  gone: boolean;
}

type State =
  | { readonly kind: "open" }
  | { readonly kind: "paused" } // by a seek, or by the program: no message is returned
  | { readonly kind: "over"; readonly error: StreamerError };

/** What a queue calls. */
export interface QueueOwner {
  /** A caller waits for a message, or a page was returned completely. */
  onDemand(): void;
  /** Whether a message is returned after it was taken. @default {always} */
  readonly accepts?: ((message: Message) => boolean) | undefined;
}

/** Askers that have gone and may still be queued. */
const MANY_GONE = 64;

/** Queues pages until callers ask for messages. */
export class PrefetchQueue {
  readonly #owner: QueueOwner;
  #pages: Page[] = []; // few: their number is bounded by the prefetch
  readonly #askers = new Queue<Asker>();
  #asking = 0; // askers that have not gone
  #gone = 0; // askers that have gone, and still are queued
  #state: State = { kind: "open" };
  #pauses = 0;
  #queued = 0;
  #queuedBytes = 0;
  #delivered = 0;
  #drained = false; // whether a page was returned completely, and the owner does not know

  constructor(owner: QueueOwner) {
    this.#owner = owner;
  }

  /** Pages that have not been returned completely. */
  get pages(): number {
    return this.#pages.length;
  }

  /** Messages that have not been returned. */
  get queued(): number {
    return this.#queued;
  }

  /** Bytes of pages with messages that have not been returned. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Messages that have been returned. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Whether a caller waits. */
  get asked(): boolean {
    return this.#asking > 0;
  }

  /** Whether a message of this shard is queued. */
  hasAny({ streamKey, shardId }: { readonly streamKey: string; readonly shardId: number }): boolean {
    return this.#pages.some(({ sections }) =>
      sections.some(({ source }) => source.streamKey === streamKey && source.shardId === shardId)
    );
  }

  /** The error that callers get from now on, once there is one. */
  get over(): StreamerError | undefined {
    return this.#state.kind === "over" ? this.#state.error : undefined;
  }

  /**
   * Takes back a message that was returned without a {@linkcode Handing}: it is returned again, before all later messages
   * of its shard.
   */
  putBack(message: Message, before: MessageId): void {
    if (this.#state.kind === "over") return;
    const { source, at } = messageEntry(message);
    const section = { source, entries: Int32Array.of(at), taken: 0, before, bytes: 0 };
    let page = this.#pages[0];
    if (page?.putBack !== true) this.#pages.unshift(page = { sections: [], putBack: true });
    const { sections } = page;
    const { streamKey, shardId, id } = message;
    const place = sections.findIndex((one) =>
      one.source.streamKey === streamKey && one.source.shardId === shardId && compareIds(firstId(one), id) > 0
    );
    sections.splice(place < 0 ? sections.length : place, 0, section);
    this.#queued++;
    this.#delivered--;
    this.serve();
  }

  /** Adds a page that was read; {@linkcode serve} then returns its messages. */
  add(page: Page): void {
    if (this.#state.kind === "over" || page.sections.length === 0) return;
    const last = this.#pages.at(-1);
    if (page.round !== undefined && last?.round === page.round) last.sections.push(...page.sections);
    else this.#pages.push(page);
    for (const section of page.sections) {
      this.#queued += section.entries.length;
      this.#queuedBytes += section.bytes;
    }
  }

  /** Takes a queued message, if no other caller waits; iterators do not have to wait then. */
  take(): Message | undefined {
    if (this.#asking > 0 || this.#state.kind !== "open") return undefined;
    const message = this.#takeOne();
    this.#tellDrained();
    return message;
  }

  /** Takes queued messages of one shard, at most `max`, if no other caller waits. */
  takeBatch(max: number): Message[] | undefined {
    if (this.#asking > 0 || this.#state.kind !== "open") return undefined;
    const messages = this.#takeSome(max);
    this.#tellDrained();
    return messages;
  }

  /** Waits for the next message. */
  ask(signal?: AbortSignal): Promise<Message> {
    return new Promise((resolve, reject) => this.#enqueue(0, ([message]) => resolve(message), reject, signal));
  }

  /** Passes the next message to a function at the moment it is taken. */
  askInto(give: (message: Message) => void, refuse: (reason: unknown) => void, signal: AbortSignal): void {
    this.#enqueue(0, ([message]) => give(message), refuse, signal);
  }

  /** Waits for the next messages of one shard, at most `max`. */
  askBatch(max: number, signal?: AbortSignal): Promise<Message[]> {
    return new Promise((resolve, reject) => this.#enqueue(max, resolve, reject, signal));
  }

  /** Returns no message until {@linkcode resume} has been called as often. */
  pause(): void {
    this.#pauses++;
    if (this.#state.kind === "open") this.#state = { kind: "paused" };
  }

  /** Ends one pause. */
  resume(): void {
    if (--this.#pauses > 0 || this.#state.kind !== "paused") return;
    this.#state = { kind: "open" };
    this.serve();
  }

  /** Drops the queued messages of all shards, or of one; returns the position after which each shard is to be read again. */
  clear(only?: { readonly streamKey: string; readonly shardId: number }): Map<MessageSource, MessageId> {
    const rest: Page[] = [];
    const positions = new Map<MessageSource, MessageId>();
    const seen = new Set<string>();
    for (const page of this.#pages) {
      const kept: Section[] = [];
      for (const section of page.sections) {
        const { streamKey, shardId } = section.source;
        if (only !== undefined && (only.streamKey !== streamKey || only.shardId !== shardId)) {
          kept.push(section);
          continue;
        }
        this.#queued -= section.entries.length - section.taken;
        this.#queuedBytes -= section.bytes;
        const name = `${shardId} ${streamKey}`;
        if (!seen.has(name)) positions.set(section.source, positionIn(section));
        seen.add(name);
      }
      if (kept.length > 0) rest.push({ ...page, sections: kept });
    }
    this.#pages = rest;
    return positions;
  }

  /** Rejects waiting and later callers with this error, and drops all pages. Later errors are ignored. */
  end(error: StreamerError): void {
    if (this.#state.kind === "over") return;
    this.#state = { kind: "over", error };
    this.clear();
    for (const asker of this.#askers.drain()) asker.refuse(error);
  }

  #enqueue(
    max: number,
    give: (messages: Message[]) => void,
    refuse: (reason: unknown) => void,
    signal: AbortSignal | undefined,
  ): void {
    if (signal?.aborted) return refuse(signal.reason);
    if (this.#state.kind === "over") return refuse(this.#state.error);
    const leave = () => {
      if (asker.gone) return;
      asker.gone = true;
      this.#asking--;
      signal?.removeEventListener("abort", abort);
    };
    const asker: Asker = {
      max,
      give,
      refuse: (reason) => (leave(), refuse(reason)),
      leave,
      gone: false,
    };
    const abort = () => {
      asker.refuse(signal?.reason);
      this.#gone++;
      this.#tidy();
    };
    signal?.addEventListener("abort", abort, { once: true });
    this.#asking++;
    this.#askers.push(asker);
    this.serve();
    if (!asker.gone) this.#owner.onDemand();
  }

  /** Passes queued messages to waiting callers. */
  serve(): void {
    while (this.#state.kind === "open") {
      const asker = this.#askers.peek();
      if (asker === undefined) return;
      if (asker.gone) {
        this.#askers.shift();
        this.#gone--;
        continue;
      }
      const messages = this.#takeSome(Math.max(asker.max, 1));
      if (messages === undefined) return this.#tellDrained();
      asker.leave(); // before more pages are read, which this asker does not need
      this.#askers.shift();
      this.#tellDrained();
      asker.give(messages);
    }
  }

  /** Removes askers that have gone, once they are most of the queue. */
  #tidy(): void {
    if (this.#gone < MANY_GONE || this.#gone * 2 < this.#askers.length) return;
    for (const asker of this.#askers.drain()) if (!asker.gone) this.#askers.push(asker);
    this.#gone = 0;
  }

  #takeOne(): Message | undefined {
    const section = this.#pages[0]?.sections[0];
    if (section === undefined) return undefined;
    if (section.handing !== undefined || this.#owner.accepts !== undefined) return this.#takeSome(1)?.[0];
    const message = messageAt(section.source, section.entries[section.taken], 1);
    this.#took(1, 1);
    return message;
  }

  #takeSome(max: number): Message[] | undefined {
    for (let section = this.#pages[0]?.sections[0]; section !== undefined; section = this.#pages[0]?.sections[0]) {
      const { source, entries, taken, handing } = section;
      const count = Math.min(max, entries.length - taken);
      const messages: Message[] = [];
      const { accepts } = this.#owner;
      if (handing === undefined && accepts === undefined) {
        for (let i = taken; i < taken + count; i++) messages.push(messageAt(source, entries[i], 1));
        this.#took(count, count);
        return messages;
      }
      const allowed = handing === undefined ? count : Math.min(count, handing.allowance());
      if (allowed === 0) return undefined;
      let at = taken;
      for (; at < entries.length && messages.length < allowed; at++) {
        if (handing?.take(at) === false) continue;
        const message = messageAt(source, entries[at], handing?.deliveriesOf(at) ?? 1);
        if (accepts === undefined || accepts(message)) messages.push(message);
        // `accepts` may run code of the program, which may have dropped the pages.
        if (accepts !== undefined && this.#pages[0]?.sections[0] !== section) return nonEmpty(messages);
      }
      this.#took(at - taken, messages.length);
      if (messages.length > 0) return messages;
    }
    return undefined;
  }

  /** Entries of the first section have been taken, and some of them returned. */
  #took(passed: number, delivered: number): void {
    const page = this.#pages[0];
    const section = page.sections[0];
    section.taken += passed;
    this.#queued -= passed;
    this.#delivered += delivered;
    if (section.taken < section.entries.length) return;
    this.#queuedBytes -= section.bytes;
    page.sections.shift(); // as many as the page has shards
    if (page.sections.length > 0) return;
    this.#pages.shift(); // as many as are read ahead
    this.#drained = true;
  }

  /** A page was returned completely: there may be room for another. */
  #tellDrained(): void {
    if (!this.#drained) return;
    this.#drained = false;
    this.#owner.onDemand();
  }
}

function nonEmpty(messages: Message[]): Message[] | undefined {
  return messages.length > 0 ? messages : undefined;
}

/** The id of the last message of a section that was returned, or the position before the section. */
function positionIn(section: Section): MessageId {
  if (section.taken === 0) return section.before;
  return new Message(section.source, section.entries[section.taken - 1], 1).id;
}

/** The id of the next message of a section. */
function firstId(section: Section): MessageId {
  return new Message(section.source, section.entries[section.taken], 1).id;
}
