// Checks the output of a handler, and sends or prepares it.

import type { StreamerError } from "../../resp/errors.ts";
import { invalidOption } from "../model/options.ts";
import { isPayload } from "../producer/options.ts";
import type { PreparedOutlet } from "../producer/producer.ts";
import type { PreparedEntry } from "../producer/sending/prepared_entry.ts";
import type { SendReceipt } from "../producer/messages/receipt.ts";
import type { OneOutput, Output, ProcessOutlet } from "./options.ts";

const NOTHING: readonly never[] = Object.freeze([]);

/** An output that is a message. */
type GivenMessage = Exclude<OneOutput, void>;

/**
 * The messages that a handler returned. All of them are checked first.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function outputMessages(producer: ProcessOutlet | undefined, output: Output): readonly GivenMessage[] {
  if (output === undefined) return NOTHING;
  const list = Array.isArray(output);
  // A checked border: Array.isArray does not narrow readonly arrays.
  const outputs = (list ? output : [output]) as readonly OneOutput[];
  for (const one of outputs) checkOutput(one, producer?.encodes ?? false);
  const messages = outputs.filter((one) => one !== undefined);
  if (messages.length > 0 && producer === undefined) throw noProducer();
  return messages;
}

/**
 * Sends what a handler returned, and returns the receipts. If a part of it is invalid, nothing is sent.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function sendOutput(producer: ProcessOutlet | undefined, output: Output): readonly SendReceipt[] {
  const messages = outputMessages(producer, output);
  if (messages.length === 0 || producer === undefined) return NOTHING;
  return messages.map((one) => sendOne(producer, one));
}

/**
 * Prepares what a handler returned, so that it can be stored.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function prepareOutput(producer: ProcessOutlet, outlet: PreparedOutlet, output: Output): PreparedEntry[] {
  return outputMessages(producer, output).map((one) => {
    if (isPayload(one)) return outlet.prepare(one);
    const { payload, key, headers, timestamp } = one;
    return outlet.prepare(payload, { key, headers, timestamp });
  });
}

function sendOne(producer: ProcessOutlet, output: GivenMessage): SendReceipt {
  if (isPayload(output)) return producer.send(output);
  const { payload, key, headers, timestamp } = output;
  return producer.send(payload, { key, headers, timestamp });
}

function checkOutput(output: OneOutput, encodes: boolean): void {
  if (output === undefined || isPayload(output)) return;
  const given = typeof output === "object" && output !== null && "payload" in output;
  if (given && (encodes || isPayload(output.payload))) return;
  const rule = "nothing, a string, a Uint8Array, { payload } or an array of these";
  throw invalidOption("output", output, rule, "send the output of a handler");
}

function noProducer(): StreamerError {
  return invalidOption("producer", undefined, "a producer with a stream of its own", "send the output of a handler");
}
