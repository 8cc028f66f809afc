// A command: its arguments, the flags for retries and waiting, and the function that reads its reply.

import { RedisError, StreamerError } from "../errors.ts";
import type { RespArgument } from "../encoder.ts";
import type { RespDecoder } from "../decoder.ts";
import type { ReplyLimits } from "../limits.ts";
import { TYPE } from "../wire.ts";
import { RespErrorReply, type RespValue } from "../value.ts";
import { SMALL_REPLY } from "../reply_limits.ts";
import { classify } from "./server_errors.ts";

/** One command whose reply is read as a `T`. */
export interface Command<T> {
  /** The name and the arguments. */
  readonly args: readonly RespArgument[];
  /** The command as bytes, if it was encoded before. `args` then contains only the name and the key. */
  readonly encoded?: Uint8Array;
  /** The key that decides the node. A command without a key runs on a node that the caller names. */
  readonly key?: string;
  /** All keys, including the first, if there are several. They must be on one node. */
  readonly keys?: readonly string[];
  /** Whether the command is idempotent, so that it can be sent again after a lost connection. */
  readonly repeatable: boolean;
  /** Milliseconds for which the command blocks before the server answers. @default {0} */
  readonly blocks?: number | undefined;
  /** Whether the arguments contain a credential, which must not appear in the text of an error. @default {false} */
  readonly secret?: boolean;
  /** Limits of the reply, in addition to those of the connection. A larger reply ends the connection. */
  readonly limits: ReplyLimits;
  /** Reads the current reply of the decoder, which is not an error. Throws `PROTOCOL` if it has the wrong shape. */
  read(decoder: RespDecoder): T;
}

/** The name of a command, for errors: the first word, and the second one of commands with subcommands. */
export function commandName(command: Command<unknown>): string {
  const [name, sub] = command.args;
  return typeof sub === "string" && /^(CLIENT|XGROUP|XINFO|CLUSTER|SENTINEL|SCRIPT|CONFIG)$/.test(String(name))
    ? `${name} ${sub}`
    : String(name);
}

/** Whether the current reply of the decoder is an error. */
export function isErrorReply(decoder: RespDecoder): boolean {
  const type = decoder.typeByte();
  return type === TYPE.error || type === TYPE.bulkError;
}

/** The unescaped text of the decoder's current error reply. */
export function readErrorText(decoder: RespDecoder): string {
  const value = decoder.value();
  return value instanceof RespErrorReply ? value.text : "ERR";
}

/** The decoder's current error reply, as an error. */
export function readError(decoder: RespDecoder, command: Command<unknown>): RedisError {
  const text = readErrorText(decoder);
  return new RedisError(command.secret ? withoutSecrets(text, command.args) : text, { command: commandName(command) });
}

/**
 * Servers repeat the arguments of an unknown command, including the password. Error texts with a code of their own are fixed. Even
 * these are hidden if they contain an argument.
 */
function withoutSecrets(text: string, args: readonly RespArgument[]): string {
  const { code } = new RespErrorReply(text);
  const leaks = args.slice(1).some((arg) => typeof arg === "string" && arg.length > 3 && text.includes(arg));
  if ((code !== "ERR" && !leaks) || classify(code, text) === "full") return text;
  return `${code} (the server's text is not shown, since it may contain credentials)`;
}

/** The error of a reply whose shape does not fit its command. */
export function wrongShape(name: string, expected: string): StreamerError {
  return new StreamerError("PROTOCOL", `Malformed reply to ${name}: expected ${expected}`);
}

/** A command whose reply is any value. It must be small, unless `limits` is given. */
export function valueCommand(
  args: readonly RespArgument[],
  flags: Partial<Command<RespValue>> = {},
): Command<RespValue> {
  return { repeatable: false, limits: SMALL_REPLY, ...flags, args, read: (decoder) => decoder.value() };
}
