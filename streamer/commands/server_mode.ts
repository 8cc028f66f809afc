// The mode of a server, if the handshake has not reported it: INFO, section server (Redis 3.0), or HELLO (Redis 6.0).

import { textOf } from "../../resp/value.ts";
import type { Command } from "../../resp/connection/command.ts";
import { SMALL_REPLY, TEXT_REPLY } from "../../resp/reply_limits.ts";
import { helloField } from "./role.ts";

/** `"standalone"`, `"cluster"` or `"sentinel"`. `undefined` if the server reports none, as some proxies. */
export function modeByInfo(): Command<string | undefined> {
  return {
    args: ["INFO", "server"],
    repeatable: true,
    limits: TEXT_REPLY, // a proxy may ignore the section and send all
    read: (decoder) => /^redis_mode:(\w+)\r?$/m.exec(textOf(decoder.value()) ?? "")?.[1],
  };
}

/** The same, for users that may not run INFO: HELLO is allowed to everybody. It changes nothing on the connection. */
export function modeByHello(): Command<string | undefined> {
  return {
    args: ["HELLO"],
    repeatable: true,
    limits: SMALL_REPLY,
    read: (decoder) => helloField(decoder, "mode"),
  };
}
