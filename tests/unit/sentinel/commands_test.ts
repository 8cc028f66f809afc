// Owns the proof of what the replies of Sentinels mean, in RESP2 and RESP3.

import { assertEquals, assertThrows } from "@std/assert";
import { RespDecoder } from "../../../resp/decoder.ts";
import type { Command } from "../../../resp/connection/command.ts";
import { StreamerError } from "../../../resp/errors.ts";
import { roleByHello, roleOfServer } from "../../../streamer/commands/role.ts";
import { sentinelEpoch } from "../../../streamer/commands/sentinel_epoch.ts";
import { sentinelPeers } from "../../../streamer/commands/sentinel_peers.ts";
import { sentinelPrimary } from "../../../streamer/commands/sentinel_primary.ts";
import { test } from "../../support/runner.ts";

function read<T>(command: Command<T>, reply: string): T {
  const decoder = new RespDecoder();
  decoder.feed(new TextEncoder().encode(reply.replaceAll("|", "\r\n")));
  decoder.advance();
  return command.read(decoder);
}

const replies: readonly (readonly [string, Command<unknown>, string, unknown])[] = [
  ["a primary", sentinelPrimary("m"), "*2|$9|127.0.0.1|$4|7650|", { host: "127.0.0.1", port: 7650 }],
  ["a primary by name", sentinelPrimary("m"), "*2|$1|h|$1|7|", { host: "h", port: 7 }],
  ["an unknown name", sentinelPrimary("m"), "*-1|", undefined],
  ["an unknown name, RESP3", sentinelPrimary("m"), "_|", undefined],
  ["no other Sentinels", sentinelPeers("m"), "*0|", []],
  ["other Sentinels", sentinelPeers("m"), "*2|%2|$2|ip|$1|a|$4|port|$1|1|%3|$1|x|$1|y|$4|port|$1|2|$2|ip|$1|b|", [
    { host: "a", port: 1 },
    { host: "b", port: 2 },
  ]],
  ["other Sentinels, RESP2", sentinelPeers("m"), "*1|*4|$2|ip|$1|a|$4|port|$1|1|", [{ host: "a", port: 1 }]],
  ["a Sentinel without an address", sentinelPeers("m"), "*1|%1|$2|ip|$1|a|", []],
  ["an epoch", sentinelEpoch("m"), "%2|$4|name|$1|m|$12|config-epoch|$20|09223372036854775807|", undefined],
  ["an epoch", sentinelEpoch("m"), "%2|$4|name|$1|m|$12|config-epoch|$19|9223372036854775807|", 9223372036854775807n],
  ["an epoch, RESP2", sentinelEpoch("m"), "*4|$4|name|$1|m|$12|config-epoch|$1|7|", 7n],
  ["no epoch", sentinelEpoch("m"), "%1|$4|name|$1|m|", undefined],
  ["the role of a primary", roleOfServer(), "*3|$6|master|:5|*0|", "master"],
  ["the role of a replica", roleOfServer(), "*5|$5|slave|$1|h|:1|$9|connected|:5|", "slave"],
  ["the role, RESP3", roleByHello(), "%2|$5|proto|:3|$4|role|$7|replica|", "replica"],
  ["the role, RESP2", roleByHello(), "*4|$5|proto|:2|$4|role|$6|master|", "master"],
  ["no role", roleByHello(), "%1|$5|proto|:3|", undefined],
];

for (const [what, command, reply, value] of replies) {
  test(`${command.args.slice(0, 2).join(" ")}: ${what}`, () => assertEquals(read(command, reply), value));
}

const malformed: readonly (readonly [Command<unknown>, string])[] = [
  [sentinelPrimary("m"), "+OK|"],
  [sentinelPrimary("m"), "*1|$1|h|"],
  [sentinelPrimary("m"), "*3|$1|h|$1|7|$1|8|"],
  [sentinelPrimary("m"), "*2|$1|h|$2|7x|"],
  [sentinelPrimary("m"), "*2|$1|h|$6|123456|"],
  [sentinelPrimary("m"), "*2|$1|h|:7|"],
  [sentinelPeers("m"), "+OK|"],
  [sentinelPeers("m"), "*1|+OK|"],
  [sentinelPeers("m"), "*1|*3|$2|ip|$1|a|$4|port|"],
  [sentinelEpoch("m"), "+OK|"],
  [roleOfServer(), "+master|"],
  [roleOfServer(), "*0|"],
];

for (const [command, reply] of malformed) {
  test(`${command.args.slice(0, 2).join(" ")} does not answer ${reply}`, () => {
    assertEquals(assertThrows(() => read(command, reply), StreamerError).code, "PROTOCOL");
  });
}
