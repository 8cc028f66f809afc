// The table of server errors: whether a retry can help, and where. No other file interprets the codes and texts of servers.

import { RedisError } from "../errors.ts";

/** The meaning of a server's error. */
export type ServerErrorClass =
  /** Another node has the key. */
  | "redirect"
  /** The server cannot answer for the time being. */
  | "retry-later"
  /** The server is a replica now. Dialling its name again may reach the primary. */
  | "role-changed"
  /** The server accepts no writes for the time being: it is full, or cannot make them durable. */
  | "no-writes"
  /** The consumer group, or its stream, is missing. */
  | "group-missing"
  /** The stream is missing. */
  | "stream-missing"
  /** The value of the key has another type. */
  | "wrong-type"
  /** The consumer group cannot be created, since it exists. */
  | "group-exists"
  /** The id of a new entry is not above the last id of its stream. */
  | "id-too-small"
  /** The id of a new entry is invalid. */
  | "invalid-id"
  /** The user does not have the permission. */
  | "forbidden"
  /** The command does not exist on this server, or is not allowed in scripts. */
  | "unavailable"
  /** No user is authenticated. */
  | "unauthenticated"
  /** The user name or the password is wrong. */
  | "wrong-password"
  /** The server does not support the requested protocol. */
  | "unknown-protocol"
  /** The server accepts no connections from this address. */
  | "denied"
  /** The server accepts no more connections for the time being. */
  | "full"
  /** A transaction was discarded, since one of its commands was refused. */
  | "discarded"
  /** A repetition would get the same answer. */
  | "final";

const BY_CODE: ReadonlyMap<string, ServerErrorClass> = new Map([
  ["MOVED", "redirect"],
  ["ASK", "redirect"],
  ["LOADING", "retry-later"],
  ["BUSY", "retry-later"],
  ["CLUSTERDOWN", "retry-later"],
  ["TRYAGAIN", "retry-later"],
  ["UNBLOCKED", "retry-later"],
  ["READONLY", "role-changed"],
  ["MASTERDOWN", "role-changed"],
  ["OOM", "no-writes"],
  ["MISCONF", "no-writes"],
  ["NOREPLICAS", "no-writes"],
  ["NOGROUP", "group-missing"],
  ["WRONGTYPE", "wrong-type"],
  ["BUSYGROUP", "group-exists"],
  ["NOPERM", "forbidden"],
  ["NOAUTH", "unauthenticated"],
  ["WRONGPASS", "wrong-password"],
  ["NOPROTO", "unknown-protocol"],
  ["DENIED", "denied"],
  ["EXECABORT", "discarded"],
]);

/** Renamed and unknown commands, and commands that are not allowed in scripts. */
const UNAVAILABLE =
  /^ERR [^]*(?:unknown command|can't be used in|not allowed from script|can't run this command|ACL failure in script)/i;

/** Errors without a code of their own. */
const BY_TEXT: readonly (readonly [RegExp, ServerErrorClass])[] = [
  [/^UNBLOCKED .*instance state changed/, "role-changed"],
  [/^ERR no such key/, "stream-missing"],
  [/^ERR The XGROUP subcommand requires the key to exist/, "stream-missing"],
  [/^ERR [^]*equal or smaller/, "id-too-small"],
  [/^ERR Invalid stream ID/, "invalid-id"],
  [/^ERR max number of clients/, "full"],
  [UNAVAILABLE, "unavailable"],
];

/** No node owns the slot. */
const SLOT_NOT_SERVED = "CLUSTERDOWN Hash slot not served";

/** Before Redis 7, the refusal of a command in a script is part of the script's error. */
const IN_SCRIPT = /: -?([A-Z]+) /;

/** The meaning of an error, from its code and its complete text. */
export function classify(code: string, text: string): ServerErrorClass {
  const ofScript = code === "ERR" && text.startsWith("ERR Error running script");
  const refused = ofScript ? IN_SCRIPT.exec(text)?.[1] ?? code : code;
  return BY_TEXT.find(([pattern]) => pattern.test(text))?.[1] ?? BY_CODE.get(refused) ?? "final";
}

/** The meaning of a thrown error. `undefined` if it is not the answer of a server. */
export function classOf(error: unknown): ServerErrorClass | undefined {
  return error instanceof RedisError ? classify(error.code, error.message) : undefined;
}

/** Whether an error is temporary for reads and writes: the same command may succeed later, or on another node. */
export function isPassing(kind: ServerErrorClass | undefined): boolean {
  return kind === "retry-later" || kind === "role-changed" || kind === "redirect";
}

/**
 * Whether a refusal has no code of its own. Most often the server does not know the command, its subcommand or an argument, like older
 * servers and proxies.
 */
export function isUncoded(error: unknown): error is RedisError {
  return error instanceof RedisError && error.code === "ERR";
}

/** Whether a refusal concerns only the slot of the key: it has moved, is moving, or has no node. Other keys of the same server may be available. */
export function concernsOneSlot(code: string, text = code): boolean {
  return code === "TRYAGAIN" || text.startsWith(SLOT_NOT_SERVED) || classify(code, text) === "redirect";
}

/**
 * Whether the server stops reading and closes the connection after this refusal, because the command is malformed or too large. Later
 * commands of the connection were not executed.
 */
export function endsReading(text: string): boolean {
  return text.startsWith("ERR Protocol error");
}
