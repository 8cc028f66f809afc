// One Sentinel: asks it for the address of the primary, over a connection that is kept for the next question.

import { ConnectError } from "../../../resp/connection/handshake/connect_error.ts";
import { endpointName, type OpenConnection, RedisNode } from "../../../resp/connection/node.ts";
import { classOf } from "../../../resp/connection/server_errors.ts";
import { valueCommand } from "../../../resp/connection/command.ts";
import { encodeCommand } from "../../../resp/encoder.ts";
import { RedisError, StreamerError } from "../../../resp/errors.ts";
import { type RespValue, textOf } from "../../../resp/value.ts";
import { sentinelEpoch } from "../../commands/sentinel_epoch.ts";
import { sentinelPeers } from "../../commands/sentinel_peers.ts";
import { type SentinelAddress, sentinelPrimary } from "../../commands/sentinel_primary.ts";
import type { SharedNodeOptions } from "../members/member.ts";
import type { Endpoint } from "../reach.ts";
import { isHost, isPort } from "../topology/redirect.ts";
import { type Standing, UNASKED } from "./standing.ts";

/** Milliseconds for connecting to a Sentinel, and for each of its answers. */
export const SENTINEL_LIMIT = 2_000;

/** Milliseconds for which the other parts of an answer are believed while the address stays the same. */
const DETAILS_AGE = 60_000;

/** What a Sentinel knows about a primary. */
export interface SentinelAnswer {
  readonly address: SentinelAddress;
  /** The epoch of the last failover that it knows. `undefined` if it does not say. */
  readonly epoch: bigint | undefined;
  /** The other Sentinels. */
  readonly peers: readonly SentinelAddress[];
}

/** Options of {@linkcode Sentinel}. */
export interface SentinelPorts {
  /** The name of the primary. */
  readonly primary: string;
  /** Its address, as it was given or announced. */
  readonly name: string;
  /** Where it is dialled. Asked at each attempt. Throws a final `ConnectError` if it must not be dialled. */
  readonly endpoint: () => Endpoint;
  /** What connections to Sentinels have in common, with the credentials of Sentinels. */
  readonly shared: SharedNodeOptions;
  /** The Sentinel has announced that the primary has another address. */
  readonly onSwitch: () => void;
}

const SWITCH = "+switch-master";

/**
 * SUBSCRIBE, which is answered by a push, and PING, whose reply shows that it was not refused. Only with RESP3: other commands may follow
 * there.
 */
const SUBSCRIBE = valueCommand(["PING"], { encoded: joined(["SUBSCRIBE", SWITCH], ["PING"]) });

/** A Sentinel. */
export class Sentinel {
  readonly name: string;
  /** What came of asking it the last time. Its owner writes it. */
  standing: Standing = UNASKED;
  readonly #ports: SentinelPorts;
  #node: RedisNode | undefined;
  #address = ""; // of that node
  #open: OpenConnection | undefined;
  #latest: { readonly of: OpenConnection; readonly answer: SentinelAnswer; readonly at: number } | undefined;
  #subscribed: OpenConnection | undefined; // the last one that has announced
  #mayAnnounce = true; // until it refuses
  #closed = false;

  constructor(ports: SentinelPorts) {
    this.name = ports.name;
    this.#ports = ports;
  }

  /** Whether `onSwitch` is called. */
  get announces(): boolean {
    return this.#subscribed !== undefined && this.#subscribed.pipeline.ending === undefined;
  }

  /**
   * Asks for the primary. `undefined` if the Sentinel does not know its name.
   *
   * @throws {ConnectError} if it does not answer. Or the signal's reason.
   */
  async ask(signal: AbortSignal): Promise<SentinelAnswer | undefined> {
    try {
      const kept = this.#open;
      if (kept === undefined || kept.pipeline.ending !== undefined) return await this.#askAnew(signal);
      return await this.#question(kept, signal).catch((error) => {
        const isClosed = error instanceof StreamerError && error.code === "DISCONNECTED";
        if (signal.aborted || !isClosed) throw error;
        return this.#askAnew(signal); // it was closed while it was idle
      });
    } catch (error) {
      signal.throwIfAborted();
      throw this.#failure(error);
    }
  }

  /** Closes its connection. A second call does nothing. */
  close(): void {
    this.#closed = true;
    if (this.#open !== undefined) hangUp(this.#open);
  }

  async #askAnew(signal: AbortSignal): Promise<SentinelAnswer | undefined> {
    return await this.#question(await this.#dial(signal), signal);
  }

  async #dial(signal: AbortSignal): Promise<OpenConnection> {
    const { endpoint, shared } = this.#ports;
    const dialled = endpoint();
    if (this.#node === undefined || this.#address !== endpointName(dialled)) {
      this.#address = endpointName(dialled);
      this.#node = new RedisNode({ ...shared, endpoint: dialled, name: this.name });
    }
    const open = await this.#node.open({ signal });
    const { mode } = open.info;
    const isOther = mode !== undefined && mode !== "sentinel";
    if (isOther || this.#closed) hangUp(open);
    if (isOther) throw this.#isNoSentinel();
    return this.#open = open;
  }

  /** Has it announce new primaries. */
  async #subscribe(open: OpenConnection): Promise<void> {
    const { info: { protocol }, pipeline } = open;
    if (protocol !== 3 || !this.#mayAnnounce || this.#subscribed === open) return;
    pipeline.own({ writable: () => {}, ended: () => {}, push: (decoder) => this.#pushed(decoder.value()) });
    try {
      await pipeline.call(SUBSCRIBE);
      this.#subscribed = open;
    } catch (error) {
      if (error instanceof RedisError) this.#mayAnnounce = false;
      hangUp(open); // if it was refused, the reply to PING is still to come
    }
  }

  #pushed(push: RespValue): void {
    const [kind, channel, text] = Array.isArray(push) ? push.map(textOf) : [];
    const isOurs = kind === "message" && channel === SWITCH && text?.startsWith(`${this.#ports.primary} `);
    if (isOurs) this.#ports.onSwitch();
  }

  async #question(open: OpenConnection, signal: AbortSignal): Promise<SentinelAnswer | undefined> {
    const { pipeline } = open;
    const { primary } = this.#ports;
    const address = await pipeline.call(sentinelPrimary(primary), { signal });
    if (address === undefined) return undefined;
    if (!isHost(address.host) || !isPort(address.port)) {
      throw new ConnectError("CONNECT", "it names an invalid address", { final: false, place: this.name });
    }
    const now = this.#ports.shared.clock.now();
    if (this.#latest?.of === open && now - this.#latest.at < DETAILS_AGE) {
      const { answer } = this.#latest;
      if (answer.address.host === address.host && answer.address.port === address.port) return answer;
    }
    const [epoch, peers] = await Promise.all([
      pipeline.call(sentinelEpoch(primary), { signal }).catch(ifRefused(undefined)),
      pipeline.call(sentinelPeers(primary), { signal }).catch(ifRefused([])),
    ]);
    const answer = { address, epoch, peers };
    this.#latest = { of: open, answer, at: now };
    await this.#subscribe(open);
    return answer;
  }

  #isNoSentinel(cause?: unknown): ConnectError {
    const reason = "it is not a Sentinel. Use a redis:// URL to connect to a server without Sentinel";
    return new ConnectError("CONNECT", reason, { final: true, cause, place: this.name });
  }

  #failure(cause: unknown): ConnectError {
    if (cause instanceof ConnectError) {
      return cause.code === "AUTH" ? cause.noting("For the credentials of Sentinels, see the option sentinel") : cause;
    }
    const place = this.name;
    if (!(cause instanceof RedisError)) {
      const code = cause instanceof StreamerError && cause.code === "TIMEOUT" ? "TIMEOUT" : "CONNECT";
      const reason = `it did not answer SENTINEL GET-MASTER-ADDR-BY-NAME within ${this.#ports.shared.timeout} ms`;
      const lost = "the connection was lost before it answered SENTINEL GET-MASTER-ADDR-BY-NAME";
      return new ConnectError(code, code === "TIMEOUT" ? reason : lost, { final: false, cause, place });
    }
    if (cause.code === "ERR") return this.#isNoSentinel(cause); // it does not know the command
    const final = classOf(cause) === "forbidden";
    return new ConnectError("CONNECT", `it answered ${cause.message}`, { final, cause, place });
  }
}

function hangUp({ pipeline }: OpenConnection): void {
  pipeline.end(new StreamerError("DISCONNECTED", "The Sentinel is not asked any more"));
}

/** Returns a value instead of the server's refusal. Other errors are thrown. */
function ifRefused<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof RedisError) return value;
    throw error;
  };
}

function joined(...commands: readonly (readonly string[])[]): Uint8Array {
  const parts = commands.map((args) => encodeCommand(args));
  return Uint8Array.from(parts.flatMap((bytes) => [...bytes]));
}
