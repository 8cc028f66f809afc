// Idempotent writes: the server remembers the name of a producer and the number of each message, and stores a number once. Redis 8.6.

import type { Router } from "../../cluster/router.ts";
import type { IdempotencyLimits } from "../../commands/idempotency_window.ts";
import { StreamerError } from "../../../resp/errors.ts";
import type { TimestampFormat } from "../../model/id.ts";
import { invalidOption } from "../../model/options.ts";

/** The part of the server's memory that is used. Numbers may be forgotten a little earlier or later than announced. */
const SHARE = 0.9;
const MAX_KEY = 256;
const utf8 = new TextEncoder();

/** How many messages of one target may be in flight, and how long each of them may be sent again. */
export class IdempotencyWindow {
  #limits: IdempotencyLimits = { maxSize: 1, duration: 0 };
  #started = false;

  /** Whether the limits are known. */
  get started(): boolean {
    return this.#started;
  }

  /** Most messages in flight. */
  get size(): number {
    return this.#limits.maxSize;
  }

  /** Milliseconds from the first write of a message, after which it must not be sent again. */
  get patience(): number {
    return this.#limits.duration * SHARE;
  }

  /** These limits count from now on. */
  start(limits: IdempotencyLimits): void {
    this.#limits = limits;
    this.#started = true;
  }

  /** The limits have to be asked for again. */
  stop(): void {
    this.#started = false;
  }
}

/** The name of a producer that has none: 128 random bits. */
export function randomProducerId(): string {
  return hexOf(16);
}

/**
 * What precedes the numbers of messages. Numbers start at 0 in each run: under a name that the program has chosen, they would otherwise be
 * those of an earlier run, and the server would drop the messages.
 */
export function numberPrefix(isNamed: boolean): string {
  return isNamed ? `${hexOf(8)}-` : "";
}

function hexOf(bytes: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}

/**
 * Checks the name of a producer.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function checkProducerId(producerId: unknown): string | undefined {
  if (producerId === undefined) return undefined;
  if (typeof producerId === "string" && /^[\x20-\x7e]{1,128}$/.test(producerId)) return producerId;
  throw invalidOption("producerId", producerId, "1 to 128 printable ASCII characters");
}

/**
 * Checks the key of a message.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function checkIdempotencyKey(key: unknown, producerId: string | undefined): string {
  if (producerId === undefined) {
    throw invalidOption(
      "idempotencyKey",
      key,
      `omitted unless the producer has a 'producerId' and delivery "exactly-once"`,
    );
  }
  const length = typeof key === "string" ? utf8.encode(key).length : 0;
  if (typeof key === "string" && length >= 1 && length <= MAX_KEY) return key;
  throw invalidOption("idempotencyKey", key, `a string of 1 to ${MAX_KEY} bytes`);
}

/**
 * Checks that the servers support idempotent writes.
 *
 * @throws {StreamerError} `UNSUPPORTED`, or `INVALID_OPTION` for nanoseconds: the servers choose the ids.
 */
export function checkNumbered(router: Pick<Router, "primaries" | "serverOf">, format: TimestampFormat): void {
  if (format === "nanoseconds") {
    throw invalidOption(
      "timestampFormat",
      format,
      `"milliseconds" with delivery "exactly-once", unless 'singleWriter' is true`,
    );
  }
  const servers = router.primaries().map((node) => router.serverOf(node)).filter((server) => server !== undefined);
  if (servers.length > 0 && servers.every(knowsIdempotency)) return;
  const found = servers.find((server) => !knowsIdempotency(server)) ?? "unknown";
  const text = `delivery: "exactly-once" requires Redis 8.6, and the server is ${found}. ` +
    "With 'singleWriter' it works on every server, for streams with one writer";
  throw new StreamerError("UNSUPPORTED", text);
}

/** Whether a server, as in `"redis 8.6.0"`, supports idempotent writes. */
export function knowsIdempotency(server: string): boolean {
  const [, major, minor] = /^redis (\d+)\.(\d+)/.exec(server) ?? [];
  return Number(major) > 8 || (Number(major) === 8 && Number(minor) >= 6);
}
