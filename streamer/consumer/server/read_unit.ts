// One connection that reads from one node: its phase, the reads in flight, and what refusals and cuts mean for the next read.

import { refusalDelay } from "../../../resp/connection/reconnect/backoff.ts";
import { type Clock, sleep } from "../../../resp/connection/clock.ts";
import { type Command, isErrorReply, readError, valueCommand } from "../../../resp/connection/command.ts";
import { Connection } from "../../../resp/connection/connection.ts";
import { Fence } from "../../../resp/connection/fence.ts";
import type { OpenConnection } from "../../../resp/connection/node.ts";
import { classOf } from "../../../resp/connection/server_errors.ts";
import { Suspicion } from "../../../resp/connection/retry/suspicion.ts";
import type { Wait } from "../../../resp/connection/retry/waiting.ts";
import type { Pipeline } from "../../../resp/connection/pipeline/pipeline.ts";
import type { RespDecoder } from "../../../resp/decoder.ts";
import { ProtocolError, type RedisError, type StreamerError } from "../../../resp/errors.ts";
import { abortable } from "../../model/abortable.ts";
import type { Router } from "../../cluster/router.ts";
import type { Place } from "./placement.ts";
import type { ServerAccess } from "./server.ts";
import { endBlockedRead } from "./unblock.ts";
import { enterPhase, type UnitPhase } from "./unit_phase.ts";

/** Longest that a read blocks on the server, in milliseconds: half of the time within which a half-open connection is noticed. */
const HEARTBEAT = 10_000;
/** Bytes of the receive buffer at first: pages are large. */
const CAPACITY = 256 * 1024;
/** Share of the limit of a reply that a page is fitted to, so that entries may differ in size. */
const REPLY_SHARE = 0.75;
/** Replies in a row that break the protocol; one alone may be an accident. */
const MOST_UNREADABLE = 1;

/** Bytes that a page is fitted to, so that it stays below the limit of a reply. */
export function replyShare(router: Router): number {
  return router.limits.reply * REPLY_SHARE;
}

/** Milliseconds for which a read blocks at most, or after which quiet shards are looked at. */
export function heartbeatOf(router: Router): number {
  return Math.min(HEARTBEAT, router.timeout);
}

/** What a unit needs. */
export interface ReadUnitPorts {
  readonly router: Router;
  readonly place: Place;
  readonly server: ServerAccess;
  /** Reading cannot continue. */
  readonly onFatal: (error: StreamerError) => void;
}

/** A connection that was lost. */
export interface LostConnection {
  readonly cause: StreamerError;
  readonly open: OpenConnection;
  /** Reads that were in flight. */
  readonly inFlight: number;
  /** Those of them that may still block on the server, one after the other. */
  readonly blocking: number;
}

/** Decides what a unit reads. */
export interface ReadUnitOwner {
  /** Prepares a connection before it reads: a new one, or after {@linkcode ReadUnit.prepare}. Gives false if that failed. */
  prepare(open: OpenConnection): boolean | Promise<boolean>;
  /** Reads may be sent, if there is room for their pages. */
  fill(): void;
  /** The connection was lost. It is opened again by itself. */
  lost(connection: LostConnection): void;
  /** The decoder is at a push. An exception counts as a violation of the protocol. */
  push(decoder: RespDecoder): void;
}

/** Receives the answer of one read. */
export interface ReadHandler {
  /** The decoder is at the page. An exception counts as a violation of the protocol. */
  page(decoder: RespDecoder): void;
  /** The server refused the read. */
  refused(error: RedisError): void;
}

/** A command that is written right before a read, and is no read itself. */
export interface Preceding {
  readonly command: Command<unknown>;
  /** The decoder is at the reply. An exception counts as a violation of the protocol. @default {nothing} */
  readonly answered?: (decoder: RespDecoder) => void;
  /** The server refused the command. @default {nothing} */
  readonly refused?: (error: RedisError) => void;
}

/** What a refusal is waited out with. */
export interface RefusalOptions {
  /** Whether it is noted as waiting. @default {true} */
  readonly isNoted?: boolean;
  /** Whether it was a command of the preparation. @default {false} */
  readonly isPreparing?: boolean;
  /** Is waited for before the delay begins. */
  readonly before?: () => Promise<void>;
}

/** Must be written right before a command for a slot that is migrating to the node. */
const ASKING: Preceding = { command: valueCommand(["ASKING"], { repeatable: true }) };

/** Reads from one node. */
export class ReadUnit {
  readonly place: Place;
  /** Of cuts in a row with reads in flight. */
  readonly suspicion = new Suspicion();
  readonly #ports: ReadUnitPorts;
  readonly #owner: ReadUnitOwner;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #closing = new AbortController();
  readonly #heartbeat: number;
  readonly #fence = new Fence();
  #phase: UnitPhase = "disconnected";
  #connected: OpenConnection | undefined; // the one that may be written to
  #isPrepared = false; // the connected one
  #preparing: OpenConnection | undefined; // the one that the owner is preparing
  #prepareAgain = false;
  #sent = 0; // reads
  #answered = 0; // of those, or lost
  #blocked = 0; // number of the last read that may block
  #losses = 0; // of connections with reads in flight
  #most = 0; // requested entries of each shard since the last answer
  #unreadable = 0; // replies in a row that broke the protocol
  #refusedSince: number | undefined;
  #refusedPreparing = false;
  #wait: Wait | undefined; // while reads are refused
  #changed: PromiseWithResolvers<void> | undefined; // a read was answered, or the connection has changed

  constructor(ports: ReadUnitPorts, owner: ReadUnitOwner) {
    const { router, place, onFatal } = ports;
    this.place = place;
    this.#ports = ports;
    this.#owner = owner;
    this.#clock = router.clock;
    this.#heartbeat = heartbeatOf(router);
    this.#connection = new Connection(router.destination(place.node), {
      up: (open) => this.#up(open),
      down: (cause, open) => this.#down(cause, open),
      failed: onFatal,
      writable: () => this.#proceed(),
      leaving: () => this.#disconnect(),
      push: (decoder) => this.#owner.push(decoder),
    }, { capacity: CAPACITY });
  }

  /** Opens the connection. */
  start(): void {
    if (this.#phase !== "retired") this.#connection.start();
  }

  get phase(): UnitPhase {
    return this.#phase;
  }

  /** Aborted when the unit is closed. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** The connection, while it may be written to. */
  get connected(): OpenConnection | undefined {
    return this.#connected;
  }

  /** Longest that a read blocks, in milliseconds. */
  get heartbeat(): number {
    return this.#heartbeat;
  }

  /** Reads sent so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Reads in flight. */
  get inFlight(): number {
    return this.#sent - this.#answered;
  }

  /**
   * Whether the next read may block. After a refusal an immediate answer shows that it has passed. After a cut a blocked read that
   * is cut again would say nothing.
   */
  get mayBlock(): boolean {
    return this.suspicion.cuts === 0 && this.#wait === undefined;
  }

  /** Most entries of each shard that the next answer may have, if `count` are requested. */
  mostOf(count: number): number {
    return this.#most = this.suspicion.cuts === 0 ? count : Math.max(count, this.#most);
  }

  /** Sends a read, and these commands right before it. Only while reading. */
  read(command: Command<unknown>, handler: ReadHandler, before: readonly Preceding[] = []): void {
    const pipeline = this.#connected?.pipeline;
    if (pipeline === undefined) return;
    this.#sent++;
    if (command.blocks !== undefined) this.#blocked = this.#sent;
    for (const preceding of before) precede(pipeline, preceding);
    if (this.place.asking) precede(pipeline, ASKING);
    pipeline.enqueue(command, {
      blocks: command.blocks ?? 0,
      limits: command.limits,
      reply: (decoder) => {
        this.suspicion.clear();
        this.#answered++;
        if (isErrorReply(decoder)) {
          this.#stir();
          this.#refusedPreparing = false;
          return handler.refused(readError(decoder, command));
        }
        this.#accepted(); // before the next read, which may block
        handler.page(decoder);
        this.#stir(); // now that the page was taken in
        this.#unreadable = 0;
      },
      lost: (cause) => {
        if (cause.code === "PROTOCOL" && !(cause instanceof ProtocolError && cause.tooLarge)) this.unreadable(cause);
      },
    });
  }

  /** Writes the reads of this tick at once. */
  flush(): void {
    this.#connected?.pipeline.flush();
  }

  /** A reply broke the protocol. More of them in a row are fatal. */
  unreadable(cause: StreamerError): void {
    if (++this.#unreadable > MOST_UNREADABLE) this.#ports.onFatal(cause);
  }

  /** Has the owner prepare the connection again before anything else is read. */
  prepare(): void {
    this.#isPrepared = false;
    this.#prepareAgain = this.#preparing !== undefined;
    this.#proceed();
  }

  /** Kills lost connections that may still read. Gives false if the server does not allow it. */
  async silence({ pipeline, node }: OpenConnection, onUnavailable: (node: string, cause: unknown) => void) {
    if (!this.#fence.needed) return true;
    let isSilenced = true;
    const unavailable = (cause: unknown) => {
      isSilenced = false;
      onUnavailable(node.name, cause);
    };
    const options = { clock: this.#clock, signal: this.signal, node: node.name, onUnavailable: unavailable };
    await this.#fence.raise(pipeline, options);
    this.#stir();
    return isSilenced;
  }

  /** A lost connection may still read on the server: it is killed before anything is prepared. */
  fence({ info, node }: OpenConnection): void {
    this.#fence.add(info.identity, node.name);
  }

  /** The server refused a read, or a command of the preparation: nothing is sent until a delay has passed. */
  async refused(error: StreamerError, options: RefusalOptions = {}): Promise<void> {
    const { isNoted = true, isPreparing = false, before } = options;
    const { router, server: { reconnect } } = this.#ports;
    const now = this.#clock.now();
    this.#refusedSince ??= now;
    if (isPreparing) this.#refusedPreparing = true;
    if (!isNoted) this.#endWait();
    else if (this.#wait === undefined) this.#wait = router.destination(this.place.node).waits.begin(error);
    else this.#wait.refused(error);
    if (classOf(error) === "role-changed") this.#connection.demoted(error);
    if (this.#phase === "refused" || this.#phase === "retired") return; // the first refusal waits for all
    this.#enter("refused");
    try {
      if (before !== undefined) await before();
      const delay = refusalDelay(reconnect, now - this.#refusedSince, this.#clock.random());
      await sleep(this.#clock, delay, this.signal);
    } catch {
      return; // the unit was closed
    }
    this.#enter(this.#connected === undefined ? "disconnected" : "preparing");
    this.#proceed();
  }

  /** Has the server end the reads up to this one that block. Others end by themselves. */
  async endReads(upTo: number = this.#sent, signal: AbortSignal = this.signal): Promise<void> {
    const connected = this.#connected;
    const last = Math.min(upTo, this.#blocked);
    if (connected === undefined || this.#answered >= last) return;
    const isBlocked = () => this.#connected === connected && this.#answered < last;
    await endBlockedRead(connected, { server: this.#ports.server, signal, isBlocked });
  }

  /** Resolves when the reads up to this one are over; with false if any of them may have been lost. */
  async whenOver(last: number): Promise<boolean> {
    const losses = this.#losses;
    while (this.#answered < last && this.#phase !== "retired") await this.#change();
    return losses === this.#losses && this.#answered >= last;
  }

  /** Whether no read is in flight, and none of a lost connection can be. While disconnected that is not known. */
  get isQuiet(): boolean {
    return this.inFlight === 0 && this.#connected !== undefined && !this.#fence.needed;
  }

  /** Resolves when it is quiet, or closed; only while its owner sends nothing. */
  async quiet(signal: AbortSignal): Promise<void> {
    while (!this.isQuiet && this.#phase !== "retired") await abortable(this.#change(), signal);
  }

  /** Closes the connection. Twice is harmless. */
  close(reason: StreamerError): void {
    this.#enter("retired");
    this.#closing.abort(reason);
    this.#accepted();
    this.#connection.close();
    this.#stir();
  }

  #up(open: OpenConnection): void {
    this.#connected = open;
    this.#isPrepared = false;
    this.#stir();
    this.#proceed();
  }

  #disconnect(): void {
    this.#connected = undefined;
    this.#isPrepared = false;
    if (this.#phase !== "refused" && this.#phase !== "retired") this.#enter("disconnected");
  }

  #down(cause: StreamerError, open: OpenConnection): void {
    const { inFlight } = this;
    const blocking = Math.max(0, this.#blocked - this.#answered);
    this.#disconnect();
    this.#answered = this.#sent;
    if (inFlight > 0) this.#losses++;
    if (this.#phase !== "retired") this.#owner.lost({ cause, open, inFlight, blocking });
    this.#stir();
  }

  /** Reads on, or first has the connection prepared, unless a refusal is being waited out. */
  #proceed(): void {
    const open = this.#connected;
    if (open === undefined || this.#phase === "refused" || this.#phase === "retired") return;
    if (this.#isPrepared) {
      this.#enter("reading");
      return this.#owner.fill();
    }
    this.#enter("preparing");
    if (this.#preparing === open) return;
    this.#preparing = open;
    const prepared = this.#owner.prepare(open);
    if (typeof prepared === "boolean") this.#finishPreparing(open, prepared);
    else prepared.then((isPrepared) => this.#finishPreparing(open, isPrepared));
  }

  #finishPreparing(open: OpenConnection, isPrepared: boolean): void {
    if (this.#preparing !== open) return; // another connection is
    this.#preparing = undefined;
    const again = this.#prepareAgain;
    this.#prepareAgain = false;
    if (this.#connected !== open) return;
    if (isPrepared && !again) {
      if (this.#refusedPreparing) this.#accepted(); // else the next read tells
      this.#isPrepared = true;
    }
    if (isPrepared || again) this.#proceed();
  }

  /** The server did not refuse. */
  #accepted(): void {
    this.#refusedSince = undefined;
    this.#endWait();
  }

  #endWait(): void {
    this.#wait?.over();
    this.#wait = undefined;
  }

  #enter(phase: UnitPhase): void {
    this.#phase = enterPhase(this.#phase, phase);
  }

  #change(): Promise<void> {
    this.#changed ??= Promise.withResolvers<void>();
    return this.#changed.promise;
  }

  #stir(): void {
    this.#changed?.resolve();
    this.#changed = undefined;
  }
}

function precede(pipeline: Pipeline, { command, answered, refused }: Preceding): void {
  const reply = (decoder: RespDecoder) =>
    isErrorReply(decoder) ? refused?.(readError(decoder, command)) : answered?.(decoder);
  pipeline.enqueue(command, { limits: command.limits, reply, lost: () => {} });
}
