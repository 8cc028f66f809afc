// Asks for the end of a stream before its first message, and finds out after a lost connection or a refused id which messages are
// stored. Until then the target is held: nothing of it is written.

import { type Clock, sleep } from "../../../resp/connection/clock.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";
import { StreamerError } from "../../../resp/errors.ts";
import type { Command } from "../../../resp/connection/command.ts";
import type { Router } from "../../cluster/router.ts";
import { endOfStream, isBarred, lastEntryOfStream, type StreamEnd } from "../../commands/last_id.ts";
import { compareIds, type MessageId } from "../../model/id.ts";
import type { SendRecord } from "../messages/receipt.ts";
import { SharedErrors } from "../messages/send_errors.ts";
import type { Target } from "../messages/target.ts";
import { endOfId, type IdClock, readId } from "./id_clock.ts";
import { pastTimestamp, unwritable, usedUp } from "./id_errors.ts";
import { type EncodedEntry, findEntries, lowestId } from "./stored_entries.ts";
import { judgeId } from "./verdict.ts";

/** What becomes of the messages. */
export interface VerifierOwner {
  /** The message is stored under its id. */
  confirmed(record: SendRecord, id: MessageId): void;
  /** The message failed. */
  rejected(record: SendRecord, error: unknown): void;
  /** Nothing of this target may be written before it was verified. The message waits, too. */
  hold(target: Target<SendRecord>, waiting?: Waiting): void;
  /** Its messages can be written. */
  resume(target: Target<SendRecord>): void;
}

/** A message that waits, and the reason. */
export interface Waiting {
  readonly record: SendRecord;
  readonly cause: unknown;
}

/** A message that may be stored. */
interface Doubt extends EncodedEntry {
  readonly record: SendRecord;
}

/** Milliseconds before an id is sent again that was refused as too small by another server than the one that was asked. */
const PAUSE = 100;

/** Verifies the ids of all targets of one producer. */
export class Verifier {
  readonly #router: Router;
  readonly #owner: VerifierOwner;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #asking = new Set<Target<SendRecord>>();
  readonly #errors = { conflict: SharedErrors.conflict(), ambiguous: SharedErrors.ambiguous() };
  #conflicts = 0;
  readonly #refused = new WeakMap<SendRecord, unknown>(); // ids that were refused as too small

  constructor(router: Router, owner: VerifierOwner) {
    this.#router = router;
    this.#owner = owner;
    this.#clock = router.clock;
  }

  /** Messages that failed because of another writer. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** The server refused the id of this message, because it is not above the end of the stream. The message may be stored already. */
  refused(record: SendRecord, cause: unknown): void {
    const { target } = record;
    target.isProbing = false;
    if (!record.doubtful) {
      this.#owner.hold(target);
      return this.#conflicted(record, cause);
    }
    this.#refused.set(record, cause);
    this.#owner.hold(target, { record, cause });
  }

  /** Finds out about a held target, none of whose messages is in flight. Has no effect while it does so already. */
  ask(target: Target<SendRecord>): void {
    if (this.#asking.has(target)) return;
    this.#asking.add(target);
    this.#verify(target).catch((error) => this.#failed(target, error)).finally(() => {
      this.#asking.delete(target);
      if (!this.#closing.signal.aborted) this.#owner.resume(target);
    });
  }

  /** Stops asking. A second call has no effect. */
  close(): void {
    this.#closing.abort(new StreamerError("DISCONNECTED", "The producer ended"));
  }

  async #verify(target: Target<SendRecord>): Promise<void> {
    const { ids } = target;
    if (ids === undefined) return;
    const doubts = doubtsOf(target);
    const end = await this.#endOf(target);
    const waits = doubts.length > 0 && await this.#settle(target, doubts, end);
    if (this.#closing.signal.aborted) return;
    this.#start(target, ids, end.id);
    if (waits) await sleep(this.#clock, PAUSE, this.#closing.signal);
  }

  /** Decides about each doubtful message. Returns whether the server is not clear about itself, so that it needs time. */
  async #settle(target: Target<SendRecord>, doubts: readonly Doubt[], end: StreamEnd): Promise<boolean> {
    const { redisKey } = target;
    const ask = this.#asker(target, true);
    const found = await findEntries(redisKey, doubts, ask);
    const isMissing = (at: number, { id }: StreamEnd) => found[at] === "nothing" && compareIds(doubts[at].id, id) <= 0;
    let sureEnd = end;
    let lowest: MessageId | undefined;
    if (doubts.some(({ record }, at) => isMissing(at, end) || (!end.exact && this.#refused.has(record)))) {
      lowest = await lowestId(redisKey, ask);
      sureEnd = await this.#endOf(target); // of the same server as the entries, also after a failover
    }
    let waits = false;
    for (const [at, { record, id }] of doubts.entries()) {
      if (record.settled) continue;
      const isAboveEnd = compareIds(id, end.id) > 0 || compareIds(id, sureEnd.id) > 0;
      const wasRefused = this.#refused.has(record);
      const verdict = judgeId({
        found: found[at],
        isAboveEnd,
        isRefused: wasRefused && !end.exact,
        hasLower: lowest !== undefined && compareIds(lowest, id) < 0,
      });
      const cause = this.#refused.get(record);
      this.#refused.delete(record);
      if (verdict === "stored") this.#owner.confirmed(record, id);
      else if (verdict === "conflict") this.#conflicted(record, cause);
      else if (verdict === "ambiguous") this.#ambiguous(record, cause);
      else if (wasRefused) waits = true;
    }
    return waits;
  }

  /** Chooses the ids of waiting messages above the end of the stream. Messages that may be stored keep theirs. */
  #start(target: Target<SendRecord>, ids: IdClock, end: MessageId): void {
    const areChosen = ids.started;
    const from = areChosen || compareIds(ids.last, end) < 0 ? end : ids.last;
    if (!ids.startAbove(from)) return this.#rejectAll(target, usedUp(target.redisKey));
    const cursor = ids.after(from);
    for (const record of waitingFor(target)) {
      const { chunk, stampAt: at, doubtful, idFirst } = record;
      if (chunk === undefined) continue;
      const written = { bytes: chunk.bytes, at };
      const isOwn = Number.isNaN(idFirst);
      if (doubtful) {
        cursor.startAbove(readId(written) ?? from);
        continue;
      }
      const outcome = cursor.rewrite(written, { isOwn });
      if (outcome === "kept" && areChosen) break; // and so are all later ones
      if (outcome !== "impossible") continue;
      if (isOwn) this.#owner.rejected(record, pastTimestamp());
      else this.#conflicted(record, undefined);
    }
    ids.startAbove(cursor.last);
  }

  /** Nothing can be found out: the server refuses it, or is not tried any more. */
  #failed(target: Target<SendRecord>, error: unknown): void {
    if (this.#closing.signal.aborted) return;
    target.ids?.stop();
    this.#rejectAll(target, error);
  }

  #rejectAll(target: Target<SendRecord>, error: unknown): void {
    for (const record of waitingFor(target)) {
      if (record.doubtful) this.#ambiguous(record, error);
      else this.#owner.rejected(record, unwritable(error));
    }
  }

  #conflicted(record: SendRecord, cause: unknown): void {
    record.doubtful = false; // it is certainly not stored
    this.#conflicts++;
    this.#owner.rejected(record, this.#errors.conflict.of(record, cause));
  }

  #ambiguous(record: SendRecord, cause: unknown): void {
    this.#owner.rejected(record, this.#errors.ambiguous.of(record, cause));
  }

  async #endOf(target: Target<SendRecord>): Promise<StreamEnd> {
    const { redisKey } = target;
    const ask = this.#asker(target, false);
    try {
      return await endOfStream(redisKey, ask);
    } catch (error) {
      if (!isBarred(error)) throw error;
      return await lastEntryOfStream(redisKey, ask);
    }
  }

  /** Runs commands on the node that has the target, until one answers. */
  #asker(target: Target<SendRecord>, large: boolean): <T>(command: Command<T>) => Promise<T> {
    const { signal } = this.#closing;
    const { clock, reconnect } = this.#router;
    const node = target.link?.node;
    const waits = node === undefined ? this.#router.waits : this.#router.destination(node).waits;
    return (command) =>
      retryWhileUnavailable({ clock, reconnect, waits }, signal, () => {
        return this.#router.run(command, { signal, large });
      });
  }
}

/** The messages of a target that may be stored, in the order of their ids. */
function doubtsOf({ backlog }: Target<SendRecord>): Doubt[] {
  const doubts: Doubt[] = [];
  for (const record of backlog?.list() ?? []) {
    const { chunk, stampAt: at, to, doubtful } = record;
    if (chunk === undefined || !doubtful) continue;
    const written = { bytes: chunk.bytes, at };
    const id = readId(written);
    if (id !== undefined) doubts.push({ record, id, bytes: chunk.bytes, from: endOfId(written) + 2, to });
  }
  return doubts;
}

/** The messages of a target that are not settled, in the order of the calls. None of them is in flight. */
function waitingFor(target: Target<SendRecord>): SendRecord[] {
  target.link?.withhold();
  return target.backlog?.list() ?? [];
}
