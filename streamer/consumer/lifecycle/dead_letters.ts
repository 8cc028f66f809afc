// Dead-letters messages that are not to be delivered again: writes them to the stream of dead letters, then acknowledges them. A
// crash in between duplicates a dead letter, and loses none.

import { StreamerError } from "../../../resp/errors.ts";
import { sleep } from "../../../resp/connection/clock.ts";
import type { Command } from "../../../resp/connection/command.ts";
import type { GroupMember } from "../../commands/xreadgroup.ts";
import { xaddFields } from "../../commands/xadd_fields.ts";
import type { MessageId } from "../../model/id.ts";
import { type Message, messageFields } from "../../model/message.ts";
import type { ServerAccess } from "../server/server.ts";
import type { DeadLetterDetail } from "../events.ts";
import type { GroupShard } from "../shards/group_shard.ts";
import type { EntryPlace, PendingEntries } from "../pending/pending_entries.ts";
import type { AckCommand } from "./committer.ts";
import type { Ownership } from "./ownership.ts";
import { retryWhileUnavailable } from "../../../resp/connection/retry/retry.ts";

/** What dead-lettering needs, and its listeners. */
export interface DeadLettersPorts {
  readonly server: ServerAccess;
  readonly member: GroupMember;
  readonly pendingEntries: PendingEntries;
  readonly ownership: Ownership;
  readonly ackCommand: AckCommand;
  /** The stream of dead letters, if there is one. */
  readonly target: string | undefined;
  readonly signal: AbortSignal;
  readonly onDeadLetter: (detail: DeadLetterDetail) => void;
  /** Another consumer has claimed a released entry. */
  readonly onLost: (shard: GroupShard, ids: readonly MessageId[]) => void;
  /** Fewer entries are unacknowledged. */
  readonly onCapacity: () => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** Why a message is dead-lettered. */
export interface DeadLetterInfo {
  /** How often it had been delivered. */
  readonly deliveries: number;
  readonly reason: string;
  /** Whether it is only acknowledged, and not written. @default {false} */
  readonly unwritten?: boolean;
  /** Whether nothing is done if it was delivered here once more since its release. @default {false} */
  readonly unlessNewer?: boolean;
}

/** Writes dead letters. */
export class DeadLetters {
  readonly #ports: DeadLettersPorts;
  readonly #writing = new Set<Promise<void>>();

  constructor(ports: DeadLettersPorts) {
    this.#ports = ports;
  }

  /** Dead-letters a message that is tracked, or was released and still is this consumer's. */
  deadLetter(message: Message, place: EntryPlace, info: DeadLetterInfo): void {
    const { pendingEntries } = this.#ports;
    const { batch, index } = place;
    const released = pendingEntries.settleReleased(batch, index);
    if (!released && !pendingEntries.settle(batch, index)) return;
    const writing = released ? this.#deadLetterIfOurs(message, place, info) : this.#deadLetter(message, place, info);
    this.#writing.add(writing);
    writing.finally(() => {
      this.#writing.delete(writing);
      this.#ports.onCapacity();
    });
  }

  /** Resolves when all messages have been dead-lettered. */
  async settle(): Promise<void> {
    await Promise.all(this.#writing);
  }

  async #deadLetterIfOurs(message: Message, place: EntryPlace, info: DeadLetterInfo): Promise<void> {
    const { pendingEntries, ownership, signal, onLost, onFatal } = this.#ports;
    const { batch, index } = place;
    const id = batch.idAt(index);
    try {
      const deliveries = info.unlessNewer ? batch.deliveriesOf(index) : Infinity;
      const regained = await ownership.regain({ redisKey: batch.shard.redisKey, id, deliveries });
      if (regained === "ours") return await this.#deadLetter(message, place, info);
      pendingEntries.finish(batch, index);
      if (regained === "lost") onLost(batch.shard, [id]);
    } catch (error) {
      if (!signal.aborted && error instanceof StreamerError) onFatal(error);
    }
  }

  async #deadLetter(
    message: Message,
    { batch, index }: EntryPlace,
    { deliveries, reason, unwritten }: DeadLetterInfo,
  ): Promise<void> {
    const { member, pendingEntries, ackCommand, signal, onDeadLetter, onFatal } = this.#ports;
    const target = unwritten ? undefined : this.#ports.target;
    const { streamKey, shardId, id } = message;
    try {
      if (target !== undefined) {
        const error = batch.failureOf(index);
        const labels = labelsOf(message, { group: member.group, deliveries, reason, error });
        await this.#retryWhileUnavailable(xaddFields(target, [...messageFields(message), ...labels]));
      }
      const { shard } = batch;
      await this.#retryWhileUnavailable(ackCommand({ shard, ids: batch.encodedIds(index, index + 1), count: 1 }));
      pendingEntries.acknowledged(batch, index);
      onDeadLetter({ streamKey, shardId, id, target: target ?? null, deliveries, reason });
    } catch (error) {
      if (!signal.aborted && error instanceof StreamerError) onFatal(error);
    }
  }

  /** Runs a command, and retries it even if the connection is given up: the server may be back later. */
  async #retryWhileUnavailable<T>(command: Command<T>): Promise<T> {
    const { server, signal } = this.#ports;
    for (;;) {
      try {
        return await retryWhileUnavailable(server, signal, () => server.run(command, { signal }));
      } catch (error) {
        const away = error instanceof StreamerError && error.code === "DISCONNECTED";
        if (!away || signal.aborted) throw error;
        await sleep(server.clock, server.reconnect.maxDelay, signal);
      }
    }
  }
}

/** What a dead letter says of its message. */
interface DeadLetterOrigin {
  readonly group: string;
  readonly deliveries: number;
  readonly reason: string;
  /** The text of the last error with which a handler of `process` has failed. */
  readonly error: string | undefined;
}

/** The headers with the origin of a dead letter. */
function labelsOf(message: Message, info: DeadLetterOrigin): string[] {
  const { streamKey, shardId, id } = message;
  const { group, deliveries, reason, error } = info;
  const origin = { stream: streamKey, shard: shardId, id, group, deliveries, reason, error };
  const known = Object.entries(origin).filter(([, value]) => value !== undefined);
  return known.flatMap(([name, value]) => [`x-dead-letter-${name}`, String(value)]);
}
