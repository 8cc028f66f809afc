// From what a handler returned to receipts. It must not know when a message is acked.

import { StreamerError } from "../resp/errors.ts";
import { shown } from "./model/id.ts";
import { isPayload } from "./producer/options.ts";
import type { SendReceipt } from "./producer/receipt.ts";
import type { OneOutput, Output, ProcessOutlet } from "./process_options.ts";

const NOTHING: readonly SendReceipt[] = Object.freeze([]);

/**
 * Sends what a handler returned, all of it or, where a part of it is no output, nothing.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function sendOutput(producer: ProcessOutlet | undefined, output: Output): readonly SendReceipt[] {
  if (output === undefined) return NOTHING;
  const list = Array.isArray(output);
  // A checked border: Array.isArray does not narrow readonly arrays.
  const outputs = (list ? output : [output]) as readonly OneOutput[];
  for (const one of outputs) checkOutput(one, producer?.encodes ?? false);
  const messages = outputs.filter((one) => one !== undefined);
  if (messages.length === 0) return NOTHING;
  if (producer === undefined) throw noProducer();
  return messages.map((one) => sendOne(producer, one));
}

function sendOne(producer: ProcessOutlet, output: Exclude<OneOutput, void>): SendReceipt {
  if (isPayload(output)) return producer.send(output);
  const { payload, key, headers, timestamp } = output;
  return producer.send(payload, { key, headers, timestamp });
}

function checkOutput(output: OneOutput, encodes: boolean): void {
  if (output === undefined || isPayload(output)) return;
  const given = typeof output === "object" && output !== null && "payload" in output;
  if (given && (encodes || isPayload(output.payload))) return;
  throw new StreamerError(
    "INVALID_OPTION",
    "Cannot send what the handler returned as it must be nothing, a string, a Uint8Array, { payload } or an array of these: " +
      `current value is ${shown(output)}`,
  );
}

function noProducer(): StreamerError {
  return new StreamerError(
    "INVALID_OPTION",
    "Cannot send what the handler returned as option producer must be a producer: current value is undefined",
  );
}
