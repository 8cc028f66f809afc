// The checks of a producer in fault tests: compares the stream with the sends and with the promises.

import { assert, assertEquals } from "@std/assert";
import type { Delivery, Receipt, SendReceipt } from "../../../mod.ts";
import type { Reply, Server } from "../servers/server.ts";

/** One entry of a stream. */
export interface Entry {
  readonly id: string;
  readonly fields: readonly string[];
  /** The value of the first field. */
  readonly payload: string;
}

/** How a send ended. */
export type Ending =
  | { readonly payload: string; readonly receipt: Receipt }
  | { readonly payload: string; readonly error: unknown; readonly outcome: string };

/** All entries of a stream. */
export async function entriesOf(server: Server, key: string): Promise<Entry[]> {
  return parseEntries(await server.command("XRANGE", key, "-", "+"));
}

/** The reply of XRANGE as entries. */
export function parseEntries(reply: Reply): Entry[] {
  assert(Array.isArray(reply), "XRANGE must give an array");
  return reply.map((entry) => {
    assert(Array.isArray(entry) && Array.isArray(entry[1]));
    const fields = entry[1].map(String);
    return { id: String(entry[0]), fields, payload: fields[1] };
  });
}

/** Waits for every receipt; fails where one settles twice. */
export async function endingsOf(sends: readonly (readonly [string, SendReceipt])[]): Promise<Ending[]> {
  return await Promise.all(sends.map(async ([payload, receipt]): Promise<Ending> => {
    let settled = 0;
    const count = () => void settled++;
    receipt.then(count, count);
    try {
      const got = await receipt;
      await Promise.resolve();
      assertEquals([settled, receipt.outcome], [1, "acked"], payload);
      return { payload, receipt: got };
    } catch (error) {
      await Promise.resolve();
      assertEquals(settled, 1, payload);
      const outcome = String(Reflect.get(Object(error), "outcome"));
      assertEquals(receipt.outcome, outcome, payload);
      return { payload, error, outcome };
    }
  }));
}

/** The messages that a stream may hold. */
export interface Claims {
  readonly delivery: Delivery;
  /** How often the connection was cut. @default {1} */
  readonly cuts?: number;
}

/** Holds one key's stream against how its sends, given in the order of the calls, have ended. */
export function checkStream(entries: readonly Entry[], endings: readonly Ending[], claims: Claims): void {
  const { delivery, cuts = 1 } = claims;
  const most = delivery === "at-least-once" ? 1 + cuts : 1;
  const places = new Map<string, number[]>();
  entries.forEach(({ payload }, at) => places.set(payload, [...places.get(payload) ?? [], at]));
  const order = new Map(endings.map(({ payload }, at) => [payload, at]));
  for (const [payload, at] of places) {
    assert(order.has(payload), `${payload} is in the stream and was not sent`);
    assert(at.length <= most, `${payload} stands ${at.length} times in the stream`);
  }
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  for (const ending of endings) {
    const times = places.get(ending.payload)?.length ?? 0;
    if ("receipt" in ending) {
      assertEquals(byId.get(ending.receipt.id)?.payload, ending.payload, "an acked id holds the sent message");
    } else if (ending.outcome === "not-written") {
      assertEquals(times, 0, `${ending.payload} was told to be not written`);
    } else {
      assertEquals(ending.outcome, "unknown", ending.payload);
    }
  }
  const firsts = [...places.keys()].map((payload) => order.get(payload) ?? -1);
  assertEquals(firsts, firsts.toSorted((a, b) => a - b), "first occurrences ascend in the order of the calls");
}

/** Checks that no message of a block is stored again after a newer one. */
export function checkNothingLate(entries: readonly Entry[], block: ReadonlySet<string>): void {
  const newer = entries.findIndex(({ payload }) => !block.has(payload));
  const from = newer < 0 ? entries.length : newer;
  const late = entries.slice(from).filter(({ payload }) => block.has(payload)).map(({ payload }) => payload);
  assertEquals(late, [], "nothing of the cut block is stored after newer messages");
}
