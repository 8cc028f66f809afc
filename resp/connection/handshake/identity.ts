// The server's identity of a connection: read with CLIENT INFO, looked up with CLIENT LIST, killed with CLIENT KILL.

import { RedisError } from "../../errors.ts";
import { type RespValue, textOf } from "../../value.ts";
import { TYPE } from "../../wire.ts";
import { type Command, valueCommand, wrongShape } from "../command.ts";
import { isUncoded } from "../server_errors.ts";
import { SMALL_REPLY, TEXT_REPLY } from "../../reply_limits.ts";

/** The id and address of a connection. After a restart, or on another server, the id alone may belong to another client. */
export interface ConnectionIdentity {
  readonly id: string;
  readonly address: string;
}

/** Runs one command, always on the same connection. */
export type RunHere = <T>(command: Command<T>) => Promise<T>;

/** Requests the identity of this connection. Redis 6.2. */
export const CLIENT_INFO: Command<RespValue> = valueCommand(["CLIENT", "INFO"]);

/** Reads `id` and `addr` from the reply to CLIENT INFO. Before Redis 6.2, from the line of CLIENT LIST with this id. */
export async function identify(info: RespValue | RedisError, run: RunHere): Promise<ConnectionIdentity | undefined> {
  if (!(info instanceof RedisError)) return parseIdentity(textOf(info) ?? "");
  if (!isUncoded(info)) return undefined;
  const [id, list] = await Promise.allSettled([
    run(valueCommand(["CLIENT", "ID"])),
    run(valueCommand(["CLIENT", "LIST"], { limits: TEXT_REPLY })),
  ]);
  for (const answer of [id, list]) {
    if (answer.status === "rejected" && !(answer.reason instanceof RedisError)) throw answer.reason;
  }
  if (id.status === "rejected" || list.status === "rejected" || typeof id.value !== "number") return undefined;
  return parseIdentity(lineOf(String(id.value), textOf(list.value)) ?? "");
}

/** Whether this server has the connection. Rejects with the server's refusal. */
export async function isListed(identity: ConnectionIdentity, run: RunHere): Promise<boolean> {
  try {
    return await run(clientList(identity, ["ID", identity.id]));
  } catch (error) {
    if (!isUncoded(error)) throw error;
    return await run(clientList(identity, [])); // before Redis 6.2
  }
}

function clientList({ id, address }: ConnectionIdentity, selection: readonly string[]): Command<boolean> {
  return {
    args: ["CLIENT", "LIST", ...selection],
    repeatable: true,
    limits: TEXT_REPLY,
    read(decoder) {
      const text = textOf(decoder.value());
      if (text === undefined) throw wrongShape("CLIENT LIST", "text");
      return parseIdentity(lineOf(id, text) ?? "")?.address === address;
    },
  };
}

/** Kills the connection with this id and address. Both must match. Redis 2.8.12. */
export function clientKill(identity: ConnectionIdentity): Command<number> {
  return {
    args: ["CLIENT", "KILL", "ID", identity.id, "ADDR", identity.address],
    repeatable: true,
    limits: SMALL_REPLY,
    read(decoder) {
      const value = decoder.typeByte() === TYPE.integer ? decoder.value() : undefined;
      if (typeof value !== "number") throw wrongShape("CLIENT KILL", "a number");
      return value;
    },
  };
}

function lineOf(id: string, list = ""): string | undefined {
  return list.split("\n").find((line) => line.startsWith(`id=${id} `));
}

function parseIdentity(line: string): ConnectionIdentity | undefined {
  const fields = line.trim().split(" ");
  const id = fields.find((field) => field.startsWith("id="))?.slice(3);
  const address = fields.find((field) => field.startsWith("addr="))?.slice(5);
  return id && address ? { id, address } : undefined;
}
