// The messages for one node: a connection that reconnects, the messages that wait for it and those in flight on it. Decides when
// bytes are written, and how many.

import type { RespDecoder } from "../../../../resp/decoder.ts";
import { RedisError, StreamerError } from "../../../../resp/errors.ts";
import { isErrorReply, readErrorText } from "../../../../resp/connection/command.ts";
import { Connection } from "../../../../resp/connection/connection.ts";
import type { Destination } from "../../../../resp/connection/destination.ts";
import type { Fence } from "../../../../resp/connection/fence.ts";
import type { OpenConnection } from "../../../../resp/connection/node.ts";
import type { Pipeline, Waiter } from "../../../../resp/connection/pipeline/pipeline.ts";
import { classify, concernsOneSlot, endsReading, isPassing } from "../../../../resp/connection/server_errors.ts";
import { SMALL_REPLY } from "../../../../resp/reply_limits.ts";
import type { NodeName } from "../../../cluster/router.ts";
import { readEntryId } from "../../../commands/xadd.ts";
import { CHUNK_BYTES, ChunkPool } from "../../messages/chunk.ts";
import type { IdSource } from "../../messages/id_source.ts";
import { type SendRecord, STATE } from "../../messages/receipt.ts";
import { outcomeOf } from "../../messages/send_errors.ts";
import type { Target } from "../../messages/target.ts";
import { Isolator } from "./isolator.ts";
import { Outbox } from "./outbox.ts";
import { RefusalPause } from "./refusal_pause.ts";
import { SilenceWatch } from "./silence.ts";
import type { Tick } from "../tick.ts";
import type { LinkOptions, LinkOwner, NodeLink, TargetRoutes } from "./ports.ts";
import { ALONE_WINDOW, FIRST_WINDOW, MAX_WINDOW, widenWindow } from "./window.ts";

/** The reply to ASKING is ignored. If it is an error, the next command is redirected. */
const ASKING_REPLY: Waiter = { reply: () => {}, lost: () => {} };

/** Sends messages to one node and receives the replies. */
export class Link implements NodeLink {
  readonly node: NodeName;
  readonly chunks = new ChunkPool();
  readonly #options: LinkOptions;
  readonly #stamps: IdSource | undefined; // writes the ids of messages before they are sent
  readonly #owner: LinkOwner;
  readonly #routes: TargetRoutes;
  readonly #tick: Tick;
  readonly #destination: Destination;
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #fence: Fence;
  readonly #isolator = new Isolator<SendRecord>();
  readonly #pause: RefusalPause;
  readonly #silence: SilenceWatch;
  readonly #closing = new AbortController();
  #pipeline: Pipeline | undefined; // set while it accepts writes
  #returned: SendRecord[] = []; // in flight on a closing connection, and to be sent again
  #cutInFlight = false; // whether that connection had commands in flight
  #unread = false; // whether the server had stopped reading before these commands
  #lastCause: StreamerError | undefined;
  #inFlight = 0;
  #inFlightBytes = 0;
  #unwritten = 0; // bytes
  #window = MAX_WINDOW;

  constructor(node: NodeName, destination: Destination, routes: TargetRoutes, options: LinkOptions) {
    this.node = node;
    this.#destination = destination;
    this.#routes = routes;
    this.#tick = routes.tick;
    this.#options = options;
    this.#stamps = options.safeguard.ids.stamped ? options.safeguard.ids : undefined;
    this.#outbox = new Outbox((record) => options.safeguard.giveUp(record));
    this.#owner = options.owner;
    this.#fence = routes.fenceOf(node);
    this.#pause = new RefusalPause(options.clock, options.reconnect, () => this.#tick.schedule());
    this.#silence = new SilenceWatch(options.clock, () => routes.silent(this));
    this.#connection = new Connection(destination, {
      up: (open) => void this.#up(open),
      down: (cause, open) => this.#down(cause, open),
      failed: (error) => options.owner.failed(this, error),
      writable: () => this.pump(),
      leaving: () => this.#pipeline = undefined,
      // Drained, so that refused messages keep their order and answered ones are not sent again.
    }, { drains: true, replies: SMALL_REPLY });
    this.#connection.start();
  }

  /** Messages that were written and whose replies are outstanding. */
  get inFlight(): number {
    return this.#inFlight;
  }

  get lastCause(): unknown {
    const failure = this.#pipeline === undefined ? this.#destination.failure : undefined;
    return failure ?? this.#lastCause;
  }

  add(record: SendRecord): void {
    this.#unwritten += record.to - record.from;
    this.#outbox.add(record);
    if (this.#pipeline === undefined) this.#connection.start();
    else if (this.#unwritten >= CHUNK_BYTES) this.pump();
  }

  dropped(record: SendRecord): void {
    this.#unwritten -= record.to - record.from;
  }

  withhold(): void {
    this.#outbox.withhold();
  }

  surrender(target: Target<SendRecord>): SendRecord[] {
    this.#outbox.forget(target);
    const records = (target.backlog?.drain() ?? []).filter((record) => !record.settled);
    for (const record of records) {
      this.dropped(record);
      this.#isolator.forget(record);
    }
    return records;
  }

  adopt(target: Target<SendRecord>, records: readonly SendRecord[]): void {
    target.link = this;
    const { backlog } = target;
    if (backlog === undefined) return;
    for (const record of records) {
      this.#unwritten += record.to - record.from;
      backlog.later.push(record);
    }
    if (this.#pipeline === undefined) this.#connection.start();
    if (target.isHeld) this.#routes.answered(target);
    else this.release(target);
  }

  release(target: Target<SendRecord>): void {
    this.#outbox.release(target);
    this.pump();
  }

  probed(target: Target<SendRecord>): void {
    this.#outbox.probed(target);
    this.#tick.schedule();
  }

  get isPaused(): boolean {
    return this.#pause.isOn;
  }

  get isUp(): boolean {
    return this.#pipeline !== undefined;
  }

  putBack(records: readonly SendRecord[]): void {
    this.#outbox.returned(records);
  }

  /** Whether the server has sent nothing for a while, although messages are in flight. */
  get isSilent(): boolean {
    return this.#silence.isSilent;
  }

  abandon(): void {
    const text = "The server does not answer, and another one owns the slots";
    this.#pipeline?.end(new StreamerError("DISCONNECTED", text));
  }

  /** Closes the connection. A second call has no effect. */
  close(): void {
    this.#pause.stop();
    this.#silence.stop();
    this.#closing.abort(new StreamerError("DISCONNECTED", "The producer ended"));
    this.#connection.close();
  }

  // Replies.

  replied(record: SendRecord, decoder: RespDecoder): void {
    const { target } = record;
    const refusal = isErrorReply(decoder) ? readErrorText(decoder) : undefined;
    if (refusal === undefined) readEntryId(decoder, record); // throws for another reply, before any state changes
    if (this.#window < MAX_WINDOW) this.#widen(record);
    this.#silence.heard();
    this.#answered(record);
    if (refusal !== undefined) this.#refused(record, refusal);
    else {
      this.#pause.accepted();
      this.#owner.stored(record);
    }
    if (target.backlog !== undefined) this.#routes.answered(target);
  }

  lost(record: SendRecord, cause: StreamerError): void {
    this.#answered(record);
    this.#cutInFlight = true;
    if (record.chunk !== undefined) record.chunk.reusable = false;
    if (record.settled) return;
    const event = this.#unread ? "lost-unread" : cause.code === "PROTOCOL" ? "unreadable" : "lost";
    if (!this.#owner.lost(record, event, cause)) return;
    this.#unwritten += record.to - record.from;
    this.#returned.push(record);
  }

  #answered(record: SendRecord): void {
    this.#inFlight--;
    this.#inFlightBytes -= record.to - record.from;
    record.target.inFlight--;
    if (!this.#tick.scheduled && this.#outbox.waits) this.#tick.schedule();
  }

  #widen(record: SendRecord): void {
    this.#isolator.forget(record);
    if (this.#window !== ALONE_WINDOW) this.#window = widenWindow(this.#window, record.to - record.from);
    else if (!this.#isolator.active) this.#window = FIRST_WINDOW;
  }

  #refused(record: SendRecord, text: string): void {
    const error = new RedisError(text, { command: "XADD", outcome: outcomeOf(record) });
    const kind = classify(error.code, error.message);
    if (isPassing(kind) && !concernsOneSlot(error.code, text)) this.#rest();
    else this.#pause.accepted();
    if (record.settled) return;
    this.#owner.refused(record, error, kind);
    if (!record.settled) this.#unwritten += record.to - record.from;
    if (kind === "role-changed") this.#connection.demoted(error);
    if (endsReading(error.message)) this.#hangUp(error);
  }

  /** Stops writing to a server that has stopped reading: more messages would be lost. */
  #hangUp(cause: RedisError): void {
    if (this.#pipeline === undefined) return; // already closing
    this.#unread = true;
    this.#pipeline.end(new StreamerError("DISCONNECTED", "The server stopped reading from the connection", { cause }));
  }

  /** The server refuses all messages for the time being. After a pause it gets one of them, whichever is next. */
  #rest(): void {
    this.#window = ALONE_WINDOW;
    this.#pause.refused();
  }

  // The connection.

  async #up({ pipeline, node }: OpenConnection): Promise<void> {
    const { signal } = this.#closing;
    const { clock, onFenceUnavailable, safeguard: { waitsForLost: waits } } = this.#options;
    try {
      if (this.#fence.needed) {
        const onUnavailable = (cause: unknown) => onFenceUnavailable({ node: node.name, cause });
        await this.#fence.raise(pipeline, { clock, signal, node: node.name, onUnavailable, waits });
      }
      if (this.#isolator.active) await this.#isolator.prove(pipeline, node.gate.losses);
    } catch {
      return; // the connection was lost again, or the link is closed
    }
    if (pipeline.ending !== undefined || signal.aborted || this.#connection.current?.pipeline !== pipeline) return;
    this.#connection.prepared();
    this.#pipeline = pipeline;
    this.#routes.connected(this);
    this.pump();
  }

  #down(cause: StreamerError, { pipeline, info, node }: OpenConnection): void {
    if (this.#pipeline === pipeline) this.#pipeline = undefined;
    this.#pause.stop();
    this.#silence.stop();
    this.#lastCause = cause;
    if (this.#cutInFlight) this.#fence.add(info.identity, node.name);
    this.#cutInFlight = this.#unread = false;
    const returned = this.#returned.splice(0);
    if (!this.#closing.signal.aborted) this.#isolate(pipeline, cause, returned);
    this.#routes.returned(this, returned, cause);
  }

  /** Shrinks the window after a lost connection: to one message while the server may close the connection because of one. */
  #isolate(pipeline: Pipeline, cause: StreamerError, inFlight: readonly SendRecord[]): void {
    const hopeless = this.#isolator.cut(pipeline, { cause, inFlight });
    if (hopeless !== undefined) this.#owner.lost(hopeless, "undeliverable", cause);
    this.#window = this.#isolator.active ? ALONE_WINDOW : FIRST_WINDOW;
  }

  // Writing.

  /** Writes as many messages as the window allows, and none to a silent server: they might have to be sent again. */
  pump(): void {
    const pipeline = this.#pipeline;
    if (pipeline === undefined || this.#pause.isOn || this.#silence.isSilent) return;
    while (pipeline.ready && this.#inFlightBytes < this.#window) {
      const alone = this.#window === ALONE_WINDOW;
      if (alone) this.#isolator.writing(pipeline);
      const bytes = this.#outbox.take(alone ? 0 : CHUNK_BYTES, (record) => this.#write(record, pipeline));
      if (bytes === undefined) return;
      pipeline.send(bytes);
    }
  }

  #write(record: SendRecord, pipeline: Pipeline): void {
    const bytes = record.to - record.from;
    if (this.#stamps !== undefined && record.stampAt >= 0) this.#stamps.write(record);
    record.state = STATE.written;
    record.target.inFlight++;
    this.#inFlight++;
    this.#inFlightBytes += bytes;
    this.#unwritten -= bytes;
    this.#silence.watch(pipeline);
    if (record.target.askedBy !== undefined) pipeline.expect(ASKING_REPLY);
    pipeline.expect(record);
  }
}
