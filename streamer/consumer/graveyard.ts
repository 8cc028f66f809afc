// Buries messages that are not to be delivered again: into the stream of the dead letters, then acknowledged, so that a crash
// in between repeats them and loses none. It must not know why a message has come to its end.

import { StreamerError } from "../../resp/errors.ts";
import { sleep } from "../../resp/connection/clock.ts";
import type { Command } from "../../resp/connection/command.ts";
import { xack } from "../commands/xack.ts";
import type { GroupMember } from "../commands/xreadgroup.ts";
import { xaddFields } from "../commands/xadd_fields.ts";
import type { MessageId } from "../model/id.ts";
import { type Message, messageFields } from "../model/message.ts";
import type { AnchorPorts } from "./anchor.ts";
import type { AckPlace, Ledger } from "./ledger.ts";
import { HELD } from "./lot.ts";
import { persist } from "./persist.ts";

/** A message that is delivered no more. */
export interface DeadLetterDetail {
  readonly streamKey: string;
  readonly shardId: number;
  readonly id: MessageId;
  /** The stream it was written to; `null` where there is none. */
  readonly target: string | null;
  /** How often it had been delivered. */
  readonly deliveries: number;
  readonly reason: string;
}

/** What a graveyard needs, and whom it tells. */
export interface GraveyardPorts {
  readonly anchor: AnchorPorts;
  readonly member: GroupMember;
  readonly ledger: Ledger;
  /** The stream of the dead letters. */
  readonly target: string | undefined;
  readonly signal: AbortSignal;
  readonly onBuried: (detail: DeadLetterDetail) => void;
  /** One less is being buried. */
  readonly onSettled: () => void;
  readonly onFatal: (error: StreamerError) => void;
}

/** How a message came to its end. */
export interface Burial {
  /** Deliveries before. */
  readonly deliveries: number;
  readonly reason: string;
  /** Whether it is only acknowledged, and written nowhere. @default {false} */
  readonly unwritten?: boolean;
}

/** Where the dead are. */
export class Graveyard {
  readonly #ports: GraveyardPorts;
  readonly #burying = new Set<Promise<void>>();

  constructor(ports: GraveyardPorts) {
    this.#ports = ports;
  }

  /** Messages that are being buried, and held in memory meanwhile. */
  get burying(): number {
    return this.#burying.size;
  }

  /** Buries a message that is held there. */
  bury(message: Message, place: AckPlace, burial: Burial): void {
    if (!this.#ports.ledger.move(place.lot, place.index, HELD.ending)) return;
    const burying = this.#bury(message, place, burial);
    this.#burying.add(burying);
    burying.finally(() => {
      this.#burying.delete(burying);
      this.#ports.onSettled();
    });
  }

  /** Resolves when everything that was to be buried is. */
  async settle(): Promise<void> {
    await Promise.all(this.#burying);
  }

  async #bury(message: Message, { lot, index }: AckPlace, { deliveries, reason, unwritten }: Burial): Promise<void> {
    const { member, ledger, signal, onBuried, onFatal } = this.#ports;
    const target = unwritten ? undefined : this.#ports.target;
    const { streamKey, shardId, id } = message;
    try {
      if (target !== undefined) {
        const labels = labelsOf(message, { group: member.group, deliveries, reason });
        await this.#persist(xaddFields(target, [...messageFields(message), ...labels]));
      }
      await this.#persist(xack(lot.shard.redisKey, member.group, lot.encodedIds(index, index + 1), 1));
      ledger.acknowledged(lot, index);
      onBuried({ streamKey, shardId, id, target: target ?? null, deliveries, reason });
    } catch (error) {
      if (!signal.aborted && error instanceof StreamerError) onFatal(error);
    }
  }

  /** Runs a command, also if the server is given up meanwhile, or full: it may be back later, or have room. */
  async #persist<T>(command: Command<T>): Promise<T> {
    const { anchor, signal } = this.#ports;
    for (;;) {
      try {
        return await persist(anchor, signal, () => anchor.run(command, { signal }));
      } catch (error) {
        const away = error instanceof StreamerError && (error.code === "DISCONNECTED" || error.code === "OOM");
        if (!away || signal.aborted) throw error;
        await sleep(anchor.clock, anchor.reconnect.maxDelay, signal);
      }
    }
  }
}

/** The headers that tell where a dead letter came from. */
function labelsOf(message: Message, burial: Burial & { readonly group: string }): string[] {
  const { streamKey, shardId, id } = message;
  const { group, deliveries, reason } = burial;
  const origin = { stream: streamKey, shard: shardId, id, group, deliveries, reason };
  return Object.entries(origin).flatMap(([name, value]) => [`x-dead-letter-${name}`, String(value)]);
}
