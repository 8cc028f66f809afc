// Shared by the tests of `process` with `delivery: "exactly-once"`: groups with inputs, and what is stored of their outputs.

import type { AckConsumer, Message, RedisStreamer, RollingOptions } from "../../../mod.ts";
import { until } from "../events.ts";
import { uniqueKey } from "../keys.ts";
import type { Server } from "../servers/server.ts";

/** Options of the consumer of a group. */
export type FixedGroup = Partial<Pick<RollingOptions, "maxDeliveries" | "deadLetter">>;

/** A stream of inputs `0`, `1` … with a group `g` at its beginning, a consumer of it, and the key of a stream of outputs. */
export async function fixedGroup(
  server: Server,
  streamer: RedisStreamer,
  count: number,
  options: FixedGroup = {},
): Promise<{ input: string; output: string; consumer: AckConsumer }> {
  const { input, output } = taggedKeys();
  const added = Array.from({ length: count }, (_, i) => ["XADD", input, "*", "msg", `${i}`]);
  await server.commands([["XGROUP", "CREATE", input, "g", "0", "MKSTREAM"], ...added]);
  const consumer = await streamer.createConsumer(input, {
    mode: "load-balanced",
    group: "g",
    autoCommit: "rolling",
    ...options,
  });
  return { input, output, consumer };
}

/** Handlers that wait, so that several messages are in hand at the same time. They return the texts of their messages. */
export class HeldHandlers {
  readonly #released = Promise.withResolvers<void>();
  #begun = 0;

  readonly handler = async (message: Message): Promise<string> => {
    this.#begun++;
    await this.#released.promise;
    return message.text();
  };

  /** Resolves when so many of them have begun. */
  async begun(count: number): Promise<void> {
    await until(() => this.#begun === count, { what: `${count} handlers have begun` });
  }

  /** Lets all of them return. */
  release(): void {
    this.#released.resolve();
  }
}

/** Keys of two streams in one slot. */
export function taggedKeys(): { input: string; output: string } {
  const tag = uniqueKey("tag");
  return { input: `{${tag}}:in`, output: `{${tag}}:out` };
}

/** The payloads of a stream, in their order. */
export async function stored(server: Pick<Server, "command">, key: string): Promise<string[]> {
  const entries = await server.command("XRANGE", key, "-", "+") as [string, string[]][];
  return entries.map(([, fields]) => fields[1]);
}

/** Resolves when the group has delivered all of a stream, and so many entries are pending. */
export async function untilHandled(
  server: Pick<Server, "command">,
  key: string,
  options: { readonly left?: number; readonly timeout?: number } = {},
): Promise<void> {
  const { left = 0, timeout = 20_000 } = options;
  await until(async () => {
    const last = pairs(await server.command("XINFO", "STREAM", key)).get("last-generated-id");
    const [group] = await server.command("XINFO", "GROUPS", key) as unknown[];
    const fields = pairs(group);
    return fields.get("last-delivered-id") === last && Number(fields.get("pending")) === left;
  }, { timeout, what: `all is delivered, and ${left} are pending` });
}

function pairs(reply: unknown): Map<string, unknown> {
  const flat = reply as unknown[];
  return new Map(Array.from({ length: flat.length / 2 }, (_, i) => [String(flat[2 * i]), flat[2 * i + 1]]));
}
