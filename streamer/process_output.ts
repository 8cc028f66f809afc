// From what a handler returned to receipts. It must not know when a message is acked.

import { StreamerError } from "../resp/errors.ts";
import { shown } from "./model/id.ts";
import type { Payload } from "./producer/options.ts";
import type { SendReceipt } from "./producer/receipt.ts";
import type { Output, OutputMessage, ProcessOptions } from "./process_options.ts";

type Outlet = NonNullable<ProcessOptions["producer"]>;

const NOTHING: readonly SendReceipt[] = Object.freeze([]);

/**
 * Sends what a handler returned, all of it or, where a part of it is no output, nothing.
 *
 * @throws {StreamerError} `INVALID_OPTION`
 */
export function sendOutput(producer: Outlet | undefined, output: Output): readonly SendReceipt[] {
  if (output === undefined) return NOTHING;
  const list = Array.isArray(output);
  // A checked border: Array.isArray does not narrow readonly arrays.
  const outputs = (list ? output : [output]) as readonly (void | Payload | OutputMessage)[];
  for (const one of outputs) checkOutput(one);
  const messages = outputs.filter((one) => one !== undefined);
  if (messages.length === 0) return NOTHING;
  if (producer === undefined) throw noProducer();
  return messages.map((one) => sendOne(producer, one));
}

function sendOne(producer: Outlet, output: Payload | OutputMessage): SendReceipt {
  if (isPayload(output)) return producer.send(output);
  const { payload, key, headers, timestamp } = output;
  return producer.send(payload, { key, headers, timestamp });
}

function isPayload(value: unknown): value is Payload {
  return typeof value === "string" || value instanceof Uint8Array;
}

function checkOutput(output: void | Payload | OutputMessage): void {
  if (output === undefined || isPayload(output)) return;
  if (typeof output === "object" && output !== null && isPayload(output.payload)) return;
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
