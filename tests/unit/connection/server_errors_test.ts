// Tests the table of the errors of servers.

import { assertEquals } from "@std/assert";
import { RedisError } from "../../../resp/errors.ts";
import {
  classify,
  classOf,
  concernsOneSlot,
  isPassing,
  isUncoded,
  type ServerErrorClass,
} from "../../../resp/connection/server_errors.ts";
import { test } from "../../support/runner.ts";

const TABLE: Readonly<Record<ServerErrorClass, readonly string[]>> = {
  "redirect": ["MOVED 3999 127.0.0.1:6381", "ASK 3999 127.0.0.1:6381"],
  "retry-later": [
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "UNBLOCKED the stream key no longer exists",
    "UNBLOCKED client unblocked via CLIENT UNBLOCK",
  ],
  "role-changed": [
    "READONLY You can't write against a read only replica.",
    "READONLY You can't write against a read only replica. script: 0a1b, on @user_script:17.",
    "ERR Error running script (call to f_0a1b): @user_script:17: -READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
  ],
  "no-writes": [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to retryWhileUnavailable to disk.",
    "NOREPLICAS Not enough good replicas to write.",
    "ERR Error running script (call to f_0a1b): @user_script:3: @user_script: 3: -OOM command not allowed",
  ],
  "group-missing": [
    "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
    "NOGROUP No such key 's' or consumer group 'g' script: 7eab, on @user_script:2.",
    "ERR Error running script (call to f_0a1b): @user_script:3: -NOGROUP No such key 's' or consumer group 'g'",
  ],
  "stream-missing": [
    "ERR no such key",
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option.",
  ],
  "wrong-type": ["WRONGTYPE Operation against a key holding the wrong kind of value"],
  "group-exists": ["BUSYGROUP Consumer Group name already exists"],
  "id-too-small": ["ERR The ID specified in XADD is equal or smaller than the target stream top item"],
  "invalid-id": ["ERR Invalid stream ID specified as stream command argument"],
  "forbidden": [
    "NOPERM this user has no permissions to run the 'xread' command",
    "ERR Error running script (call to f_0a1b): @user_script:3: @user_script: 3: -NOPERM this user has no permissions",
  ],
  "unavailable": [
    "ERR unknown command 'EVAL', with args beginning with: ",
    "ERR The user executing the script can't run this command or subcommand script: 7eab, on @user_script:25.",
    "ERR ACL failure in script: User u has no permissions to run the 'xtrim' command",
    "ERR This Redis command is not allowed from script script: 7eab, on @user_script:2.",
  ],
  "unauthenticated": ["NOAUTH Authentication required."],
  "wrong-password": ["WRONGPASS invalid username-password pair or user is disabled."],
  "unknown-protocol": ["NOPROTO unsupported protocol version"],
  "denied": ["DENIED Redis is running in protected mode because protected mode is enabled"],
  "discarded": ["EXECABORT Transaction discarded because of previous errors."],
  "full": ["ERR max number of clients reached", "ERR max number of clients + cluster connections reached"],
  "final": [
    "ERR syntax error",
    "ERR Error running script (call to f_0a1b): @user_script:3: wrong",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "readonly in lower case",
    "constructor",
    "__proto__",
    "",
  ],
};

for (const [kind, texts] of Object.entries(TABLE)) {
  test(`errors that are ${kind} are recognized by their code, or their text`, () => {
    for (const text of texts) {
      const error = new RedisError(text, { command: "XADD" });
      assertEquals([text, classify(error.code, text), classOf(error)], [text, kind, kind]);
    }
  });
}

test("only errors that are temporary for reads and writes alike are retried by waiting callers", () => {
  const passing = Object.keys(TABLE).filter((kind) => isPassing(kind as ServerErrorClass)); // the table's own keys
  assertEquals(passing, ["redirect", "retry-later", "role-changed"]);
  assertEquals([classOf(new Error("READONLY")), isPassing(undefined)], [undefined, false]);
});

test("a refusal concerns one slot if the slot has moved, is moving or has no node", () => {
  const codes = ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "OOM", "ERR"];
  assertEquals(codes.filter((code) => concernsOneSlot(code)), ["MOVED", "ASK", "TRYAGAIN"]);
  const down = ["CLUSTERDOWN Hash slot not served", "CLUSTERDOWN The cluster is down"];
  assertEquals(down.map((text) => concernsOneSlot("CLUSTERDOWN", text)), [true, false]);
});

test("a server's refusal without a code is recognized", () => {
  const error = (text: string) => new RedisError(text, { command: "CLIENT INFO" });
  const texts = ["ERR syntax error", "ERR unknown command 'CLIENT'", "NOPERM no", "WRONGTYPE no"];
  assertEquals(texts.filter((text) => isUncoded(error(text))), texts.slice(0, 2));
  assertEquals(isUncoded(new Error("ERR")), false);
});
