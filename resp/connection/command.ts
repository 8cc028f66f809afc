// What a command is to a connection: its arguments, the flags that decide about retrying and waiting, and how its
// reply is read. It must not know any one command.

import { RedisError, StreamerError } from "../errors.ts";
import type { RespArgument } from "../encoder.ts";
import type { RespDecoder } from "../decoder.ts";
import { TYPE } from "../wire.ts";
import { RespErrorReply, type RespValue } from "../value.ts";

/** One command and how its reply becomes a `T`. */
export interface Command<T> {
  /** The name and what follows it. */
  readonly args: readonly RespArgument[];
  /** The whole command as bytes, where they have been made already; `args` then only name it. */
  readonly encoded?: Uint8Array;
  /** The key it is routed by, if it has one. */
  readonly key?: string;
  /** Whether sending it twice does no harm, so that it may be sent again after a cut. */
  readonly repeatable: boolean;
  /** Milliseconds the server may keep silent on purpose before it answers. @default {0} */
  readonly blocks?: number;
  /** Whether its arguments hold a credential, which then must not come back in an error's text. @default {false} */
  readonly secret?: boolean;
  /** Reads the reply the decoder stands on, which is no error; throws `PROTOCOL` where it has the wrong shape. */
  read(decoder: RespDecoder): T;
}

/** The name of a command, for errors: the first word, and the second of those that have subcommands. */
export function commandName(command: Command<unknown>): string {
  const [name, sub] = command.args;
  return typeof sub === "string" && /^(CLIENT|XGROUP|XINFO|CLUSTER|SCRIPT|CONFIG)$/.test(String(name))
    ? `${name} ${sub}`
    : String(name);
}

/** Whether the decoder stands on an error reply. */
export function isErrorReply(decoder: RespDecoder): boolean {
  const type = decoder.typeByte();
  return type === TYPE.error || type === TYPE.bulkError;
}

/** The text of the error the decoder stands on, unescaped. */
export function readErrorText(decoder: RespDecoder): string {
  const value = decoder.value();
  return value instanceof RespErrorReply ? value.text : "ERR";
}

/** The error the decoder stands on, as what a caller rejects with. */
export function readError(decoder: RespDecoder, command: Command<unknown>): RedisError {
  const text = readErrorText(decoder);
  return new RedisError(command.secret ? withoutSecrets(text, command.args) : text, { command: commandName(command) });
}

/**
 * Servers repeat the arguments of a command they do not know, the password among them. The texts with a code of their
 * own are fixed ones; even they are withheld if an argument stands in them.
 */
function withoutSecrets(text: string, args: readonly RespArgument[]): string {
  const { code } = new RespErrorReply(text);
  const leaks = args.slice(1).some((arg) => typeof arg === "string" && arg.length > 3 && text.includes(arg));
  if ((code !== "ERR" && !leaks) || text.startsWith("ERR max number of clients")) return text;
  return `${code} the server's text is withheld, since it may repeat credentials`;
}

/** The violation of a reply with another shape than its command must give. */
export function wrongShape(name: string, expected: string): StreamerError {
  return new StreamerError("PROTOCOL", `Cannot read the reply of ${name} as it must be ${expected}`);
}

/** A command whose reply is any value. */
export function valueCommand(
  args: readonly RespArgument[],
  flags: Partial<Command<RespValue>> = {},
): Command<RespValue> {
  return { repeatable: false, ...flags, args, read: (decoder) => decoder.value() };
}
