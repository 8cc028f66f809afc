// Pages that were read ahead, and who asks for messages: each message goes to exactly one asker, in order. It must not
// know where pages come from.

import type { StreamerError } from "../../resp/errors.ts";
import { Queue } from "../../resp/connection/queue.ts";
import { compareIds, type MessageId } from "../model/id.ts";
import { Message, messageAt, messageEntry, type MessageSource } from "../model/message.ts";

/** Who has to agree to each message of a section before it is handed out; only where they are acknowledged. */
export interface Handing {
  /** Takes an entry for handing out; false where it must not be any more. */
  take(index: number): boolean;
  /** How often it was delivered, this time included. */
  deliveriesOf(index: number): number;
  /** Most that may be handed out now; where there are none, the inbox has to be served again later. */
  allowance(): number;
}

/** The entries of one shard in a page, handed out one by one. */
export interface Section {
  readonly source: MessageSource;
  /** Where each entry stands on the frame's tape. */
  readonly entries: Int32Array;
  /** How many have been handed out. */
  taken: number;
  /** The shard's position before this section. */
  readonly before: MessageId;
  /** Its share of the page's bytes. */
  readonly bytes: number;
  readonly handing?: Handing;
}

/** One reply's worth of sections. */
export interface Page {
  readonly sections: Section[];
  /** Whether it is of what was put back: no more than were taken at once. */
  readonly putBack?: boolean;
}

interface Asker {
  /** Most messages wanted; 0 for one, given by itself. */
  readonly max: number;
  readonly give: (messages: Message[]) => void;
  readonly refuse: (reason: unknown) => void;
  /** No longer asks. */
  readonly leave: () => void;
  gone: boolean;
}

type State =
  | { readonly kind: "open" }
  | { readonly kind: "held" } // a seek is under way, or the consumer is paused: nothing is handed out
  | { readonly kind: "over"; readonly error: StreamerError };

/** Who is told that there is room. */
export interface InboxOwner {
  /** A page was handed out to its end, or somebody asks for what is not there. */
  wanted(): void;
  /** Whether a message may be handed out that has been taken for it; left out where any may. */
  readonly accepts?: ((message: Message) => boolean) | undefined;
}

/** Askers that have gone and may stand in the queue. */
const MANY_GONE = 64;

/** Holds pages until somebody asks. */
export class Inbox {
  readonly #owner: InboxOwner;
  #pages: Page[] = []; // few: their number is bounded by the prefetch
  readonly #askers = new Queue<Asker>();
  #asking = 0; // askers that have not gone
  #gone = 0; // askers that have, and still stand in the queue
  #state: State = { kind: "open" };
  #holds = 0;
  #queued = 0;
  #queuedBytes = 0;
  #delivered = 0;
  #drained = false; // whether a page has come to its end of which the owner has not been told

  constructor(owner: InboxOwner) {
    this.#owner = owner;
  }

  /** Pages not yet handed out to their end. */
  get pages(): number {
    return this.#pages.length;
  }

  /** Messages not yet handed out. */
  get queued(): number {
    return this.#queued;
  }

  /** Bytes of pages with messages not yet handed out. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Messages handed out. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Whether somebody waits. */
  get asked(): boolean {
    return this.#asking > 0;
  }

  /** Whether there is something of this shard that has not been handed out. */
  holds({ streamKey, shardId }: { readonly streamKey: string; readonly shardId: number }): boolean {
    return this.#pages.some(({ sections }) =>
      sections.some(({ source }) => source.streamKey === streamKey && source.shardId === shardId)
    );
  }

  /** The error everybody gets from now on, once there is one. */
  get over(): StreamerError | undefined {
    return this.#state.kind === "over" ? this.#state.error : undefined;
  }

  /**
   * Takes a message back that was handed out without anybody's agreement: it is handed out again, before all others of its
   * shard that come after it.
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

  /** Adds what has been read; {@linkcode serve} then hands it out. */
  add(page: Page): void {
    if (this.#state.kind === "over" || page.sections.length === 0) return;
    this.#pages.push(page);
    for (const section of page.sections) {
      this.#queued += section.entries.length;
      this.#queuedBytes += section.bytes;
    }
  }

  /** Takes a message that is there, if nobody has asked before; for iterators, which then need not wait. */
  take(): Message | undefined {
    if (this.#asking > 0 || this.#state.kind !== "open") return undefined;
    const message = this.#takeOne();
    this.#tellDrained();
    return message;
  }

  /** Takes what is there of one shard, at most `max`, if nobody has asked before. */
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

  /** Has the next message given, at the moment it is taken. */
  askInto(give: (message: Message) => void, refuse: (reason: unknown) => void, signal: AbortSignal): void {
    this.#enqueue(0, ([message]) => give(message), refuse, signal);
  }

  /** Waits for what comes next of one shard, at most `max`. */
  askBatch(max: number, signal?: AbortSignal): Promise<Message[]> {
    return new Promise((resolve, reject) => this.#enqueue(max, resolve, reject, signal));
  }

  /** Hands nothing out until {@linkcode release} has been called as often. */
  hold(): void {
    this.#holds++;
    if (this.#state.kind === "open") this.#state = { kind: "held" };
  }

  /** Takes one hold back. */
  release(): void {
    if (--this.#holds > 0 || this.#state.kind !== "held") return;
    this.#state = { kind: "open" };
    this.serve();
  }

  /** Throws away what has not been handed out, of all shards or one; gives where each of them would have to be read from again. */
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

  /** Everybody who waits, and who asks later, gets this error; what was read ahead is dropped. The first one counts. */
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
    if (!asker.gone) this.#owner.wanted();
  }

  /** Gives those who wait what is there. */
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
      asker.leave(); // before more is asked for, which this asker does not want
      this.#askers.shift();
      this.#tellDrained();
      asker.give(messages);
    }
  }

  /** Those who have gone behind one who waits leave the queue when they are most of it. */
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
        // What accepts may be a program's own, and have thrown away what is being read.
        if (accepts !== undefined && this.#pages[0]?.sections[0] !== section) return nonEmpty(messages);
      }
      this.#took(at - taken, messages.length);
      if (messages.length > 0) return messages;
    }
    return undefined;
  }

  /** So many entries of the first section have been passed, of which so many were handed out. */
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

  /** A page has come to its end: there may be room for another. */
  #tellDrained(): void {
    if (!this.#drained) return;
    this.#drained = false;
    this.#owner.wanted();
  }
}

function nonEmpty(messages: Message[]): Message[] | undefined {
  return messages.length > 0 ? messages : undefined;
}

/** The position behind what has been handed out of a section. */
function positionIn(section: Section): MessageId {
  if (section.taken === 0) return section.before;
  return new Message(section.source, section.entries[section.taken - 1], 1).id;
}

/** The id of what is handed out next of a section. */
function firstId(section: Section): MessageId {
  return new Message(section.source, section.entries[section.taken], 1).id;
}
