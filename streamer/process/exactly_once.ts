// Checks whether `process` can store outputs exactly once, before the first handler starts where that can be known.

import { areScriptsForbidden } from "../commands/scripts.ts";
import { tryStoring } from "../commands/store_outputs.ts";
import { classOf } from "../../resp/connection/server_errors.ts";
import { RedisError, StreamerError } from "../../resp/errors.ts";
import { OutputGate } from "../consumer/group/output_gate.ts";
import { abortable } from "../model/abortable.ts";
import { invalidOption } from "../model/options.ts";
import { type PreparedOutlet, ProducerHandle } from "../producer/producer.ts";
import type { ProcessableConsumer } from "./consumer_port.ts";
import type { ProcessOutlet } from "./options.ts";

/** Where outputs are stored, and what acknowledges their messages. */
export interface StoreParts {
  readonly gate: OutputGate;
  readonly producer: ProcessOutlet;
  readonly outlet: PreparedOutlet;
}

/**
 * Finds what stores outputs.
 *
 * @throws {StreamerError} `INVALID_OPTION` or `UNSUPPORTED`
 */
export function storeParts(consumer: ProcessableConsumer, producer: ProcessOutlet | undefined): StoreParts {
  const gate = "outputGate" in consumer ? consumer.outputGate : undefined;
  if (!(gate instanceof OutputGate)) throw invalidOption("consumer", consumer, "a consumer of a group of this library");
  if (gate.hasLeftGroup) throw leftGroup();
  if (producer === undefined) throw invalidOption("producer", producer, 'given with delivery: "exactly-once"');
  if (!(producer instanceof ProducerHandle)) throw invalidOption("producer", producer, "a producer of this library");
  const { outlet } = producer;
  if (outlet.router !== gate.router && outlet.uri !== gate.uri) {
    throw new StreamerError(
      "UNSUPPORTED",
      'process with delivery: "exactly-once" stores outputs and acks in one step of one server. ' +
        `The consumer is connected to ${gate.uri}, and the producer to ${outlet.uri}`,
    );
  }
  const parts = { gate, producer, outlet };
  checkSlots(parts);
  return parts;
}

/** Refuses keys in different slots, as far as the key of the output is known. */
function checkSlots({ gate, outlet }: StoreParts): void {
  const { redisKey } = outlet;
  if (redisKey === undefined) return; // a sharder chooses it for each output
  const slot = gate.router.slotOf(redisKey);
  const elsewhere = gate.redisKeys.find((one) => gate.router.slotOf(one) !== slot);
  if (elsewhere !== undefined) throw otherSlots(elsewhere, redisKey);
}

/**
 * Asks the server whether the script may run. Returns if that cannot be known now.
 *
 * @throws {StreamerError} `UNSUPPORTED`, or the signal's reason
 */
export async function checkScripts({ gate }: StoreParts, signal: AbortSignal | undefined): Promise<void> {
  const [redisKey] = gate.redisKeys;
  if (redisKey === undefined) return;
  let refusal: unknown;
  try {
    const text = await abortable(gate.run(tryStoring(redisKey, { group: gate.group })), signal);
    if (text !== undefined) refusal = new RedisError(text, { command: "EVAL" });
  } catch (error) {
    signal?.throwIfAborted();
    refusal = error;
  }
  if (areScriptsForbidden(refusal)) throw noScripts(refusal);
}

/** Whether a server refuses all scripts, and not only a key of one call. */
export function isScriptRefused(error: unknown): boolean {
  if (!(error instanceof RedisError) || error.command !== "EVAL") return false;
  return classOf(error) === "unavailable" ||
    (classOf(error) === "forbidden" && /run the '[^']*' command/.test(error.message));
}

/** The error of a server without the script. */
export function noScripts(cause: unknown): StreamerError {
  return new StreamerError(
    "UNSUPPORTED",
    'process with delivery: "exactly-once" requires EVAL, XPENDING and XACK, which the server refuses to this user',
    { cause },
  );
}

/** The error of keys that no script can use together. */
export function otherSlots(input: string, output: string): StreamerError {
  return new StreamerError(
    "UNSUPPORTED",
    `process with delivery: "exactly-once" requires input and output in one slot of the cluster. ${input} and ${output} are ` +
      "in different ones. Give both keys the same hash tag, as in {tag}:in and {tag}:out",
  );
}

/** The error of a consumer that was moved away from its group. */
export function leftGroup(): StreamerError {
  return invalidOption(
    "consumer",
    "one that seek or rewind has moved away from its group",
    "a consumer that reads in its group",
  );
}
