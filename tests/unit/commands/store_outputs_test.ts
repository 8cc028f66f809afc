// Tests the command that stores outputs: its arguments, its parts, and its reply.

import { assertEquals, assertThrows } from "@std/assert";
import { RespDecoder } from "../../../resp/decoder.ts";
import { textOf } from "../../../resp/value.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { STORE_INPUTS, StoreBatch, storeOutputs, tryStoring } from "../../../streamer/commands/store_outputs.ts";
import { test } from "../../support/runner.ts";
import { array, bulk, standing } from "./frames.ts";

const options = { group: "g", consumer: "c", ungated: false };

/** The arguments after the script. */
function argumentsOf(command: Command<unknown>): string[] {
  const decoder = new RespDecoder();
  decoder.feed(command.encoded ?? new Uint8Array(0));
  const value = decoder.read()?.value;
  if (!Array.isArray(value)) throw new Error("no command");
  return value.map((one) => textOf(one) ?? "").filter((_, i) => i !== 1);
}

/** A batch of inputs with these ids, each with one output to `out`. */
function batchOf(...ids: readonly string[]): StoreBatch {
  const batch = new StoreBatch();
  for (const id of ids) {
    batch.add({ redisKey: "in", id, outputs: [{ redisKey: "out", args: ["*", "msg", id], raises: undefined }] });
  }
  return batch;
}

test("few inputs are looked for one by one, and each output follows its input", () => {
  const command = storeOutputs(batchOf("1-0", "2-0").close(), options);
  assertEquals(argumentsOf(command), [
    ...["EVAL", "2", "in", "out", "g", "c", "0", "0"],
    ...["in", "1-0", "1", "out", "0", "3", "*", "msg", "1-0"],
    ...["in", "2-0", "1", "out", "0", "3", "*", "msg", "2-0"],
  ]);
  assertEquals([command.repeatable, command.key, command.keys], [true, "in", ["in", "out"]]);
});

test("several inputs of one key are listed by their lowest and highest id", () => {
  const command = storeOutputs(batchOf("10-0", "9-5", "11-2").close(), options);
  assertEquals(argumentsOf(command).slice(6, 12), ["0", "1", "in", "9-5", "11-2", "6"]);
});

test("inputs of a lost group are not looked for", () => {
  const command = storeOutputs(batchOf("1-0", "2-0", "3-0").close(), { ...options, ungated: true });
  assertEquals(argumentsOf(command).slice(6, 9), ["1", "0", "in"]);
});

test("a part of a call has the arguments and keys of its inputs only", () => {
  const batch = batchOf("1-0", "2-0");
  const raised = { redisKey: "other", args: ["MAXLEN", "~", 9, "5-*", "msg", "x"], raises: 3 };
  batch.add({ redisKey: "in", id: "3-0", outputs: [raised] });
  const call = batch.close();
  const command = storeOutputs(call.part(2, 3), options);
  assertEquals(argumentsOf(command), [
    ...["EVAL", "2", "in", "other", "g", "c", "0", "0"],
    ...["in", "3-0", "1", "other", "4", "6", "MAXLEN", "~", "9", "5-*", "msg", "x"],
  ]);
  assertEquals([call.size, call.part(0, 2).keys], [3, ["in", "out"]]);
});

test("bytes are copied when an input is added", () => {
  const payload = new TextEncoder().encode("before");
  const batch = new StoreBatch();
  batch.add({
    redisKey: "in",
    id: "1-0",
    outputs: [{ redisKey: "out", args: ["*", "m", payload], raises: undefined }],
  });
  payload.fill(0);
  assertEquals(argumentsOf(storeOutputs(batch.close(), options)).at(-1), "before");
});

test("a batch is full at 500 inputs or a mebibyte, and takes no input that no command can carry", () => {
  const many = new StoreBatch();
  for (let i = 1; i < STORE_INPUTS; i++) many.add({ redisKey: "in", id: `${i}-0`, outputs: [] });
  assertEquals(many.isFull, false);
  many.add({ redisKey: "in", id: "500-0", outputs: [] });
  assertEquals(many.isFull, true);
  const large = new StoreBatch();
  const output = { redisKey: "out", args: ["*", "m", new Uint8Array(1024 * 1024)], raises: undefined };
  large.add({ redisKey: "in", id: "1-0", outputs: [output] });
  assertEquals(large.isFull, true);
  const outputs = Array.from({ length: 170_000 }, () => ({ redisKey: "out", args: ["*", "m", ""], raises: undefined }));
  assertEquals(new StoreBatch().add({ redisKey: "in", id: "1-0", outputs }), false);
});

test("the reply has a result for each input", () => {
  const { read } = storeOutputs(batchOf("1-0", "2-0", "3-0").close(), options);
  assertEquals(read(standing(array(":1\r\n", ":0\r\n", bulk("-WRONGTYPE Operation")))), [
    "stored",
    "repeated",
    { refusal: "WRONGTYPE Operation" },
  ]);
  for (
    const reply of [":1\r\n", array(":1\r\n"), array(":1\r\n", ":0\r\n", ":2\r\n"), array(":1\r\n", ":0\r\n", "_\r\n")]
  ) {
    assertThrows(() => read(standing(reply)), Error, "Malformed reply to EVAL");
  }
});

test("the look whether storing is allowed answers what is refused", () => {
  const { read } = tryStoring("in", options);
  assertEquals([read(standing(":0\r\n")), read(standing(bulk("NOGROUP No such key")))], [
    undefined,
    "NOGROUP No such key",
  ]);
});
