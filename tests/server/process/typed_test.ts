// Tests outputs for a producer with a codec: values are encoded by it, and refused values are failures of their messages.

import { assertEquals } from "@std/assert";
import { connect, fieldsCodec, jsonCodec, process, type StandardSchema, StreamerError } from "../../../mod.ts";
import { groupOf, untilPending } from "../../support/consumer/grouping.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();
const group = "g";

/** Fields of the entries of a stream. */
async function fieldsIn(key: string): Promise<unknown[]> {
  const reply = await server.command("XRANGE", key, "-", "+");
  return Array.isArray(reply) ? reply.map((entry) => Array.isArray(entry) ? entry[1] : entry) : [];
}

/** A schema of even numbers. */
const even: StandardSchema<number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof value === "number" && value % 2 === 0 ? { value } : { issues: [{ message: "not even" }] },
  },
};

test("values become fields, with the headers of the output", async () => {
  const { key } = await groupOf(server, group, 2);
  const output = uniqueKey("out");
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, { mode: "resumable", group, autoCommit: "disabled" });
  const codec = fieldsCodec<{ readonly number: number; readonly text: string }>();
  const producer = await streamer.createProducer(output, { codec });
  const stop = new AbortController();
  const counts = await process(consumer, (message) => {
    if (message.text() === "1") stop.abort();
    const payload = { number: Number(message.text()), text: message.text() };
    return [{ payload, headers: { from: message.id } }, undefined];
  }, { producer, signal: stop.signal });
  assertEquals(counts, { handled: 2, failed: 0, repeated: 0 });
  assertEquals(
    (await fieldsIn(output) as string[][]).map((fields) => fields.slice(0, 4)),
    [["number", "0", "text", "0"], ["number", "1", "text", "1"]],
  );
  await untilPending(server, key, group, 0);
});

test("a value that the schema refuses is a failure of its message, and its other outputs are sent", async () => {
  const { key } = await groupOf(server, group, 2);
  const [output, deadLetter] = [uniqueKey("out"), uniqueKey("dead")];
  await using streamer = await connect(server.url);
  const consumer = await streamer.createConsumer(key, {
    ...{ mode: "resumable", group, autoCommit: "disabled", maxDeliveries: 1, deadLetter } as const,
  });
  const producer = await streamer.createProducer(output, { codec: jsonCodec(even) });
  const errors: unknown[] = [];
  const stop = new AbortController();
  streamer.addEventListener("dead-letter", () => stop.abort());
  const counts = await process(consumer, (message) => [{ payload: 4 }, { payload: Number(message.text()) }], {
    producer,
    signal: stop.signal,
    onError: (error) => void errors.push(error),
  });
  assertEquals(counts, { handled: 1, failed: 1, repeated: 0 });
  assertEquals(errors.map((error) => error instanceof StreamerError && [error.code, error.outcome]), [
    ["INVALID_OPTION", "not-written"],
  ]);
  assertEquals((await fieldsIn(output) as string[][]).map(([, payload]) => payload), ["4", "0", "4"]);
  const [letter] = await fieldsIn(deadLetter) as string[][];
  const at = letter.indexOf("x-dead-letter-error");
  assertEquals(letter[at + 1].includes("not even"), true, letter[at + 1]);
});
