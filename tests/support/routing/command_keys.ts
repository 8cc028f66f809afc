// Defines which words of a command are keys, and whether it may block. Must not use the library under test: the
// library's own definition is checked against it.

/** Commands without a key. */
const KEYLESS: ReadonlySet<string> = new Set(
  [
    "HELLO",
    "AUTH",
    "CLIENT",
    "SELECT",
    "PING",
    "ECHO",
    "TIME",
    "INFO",
    "ROLE",
    "SCAN",
    "SCRIPT",
    "ASKING",
    "MULTI",
    "EXEC",
    ...["ACL", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "FLUSHALL", "KEYS"],
  ],
);
/** Commands whose second word is their only key. */
const FIRST: ReadonlySet<string> = new Set(
  [
    ["XADD", "XACK", "XCLAIM", "XAUTOCLAIM", "XPENDING", "XRANGE", "XREVRANGE", "XLEN", "XTRIM", "XDEL", "XSETID"],
    ["TYPE", "EXPIRE", "PEXPIRE", "TTL", "PTTL", "PERSIST", "DUMP", "RESTORE"],
    ["SET", "GET", "SETEX", "APPEND", "INCR", "STRLEN", "HSET", "HGET", "HGETALL", "SADD", "ZADD"],
    ["RPUSH", "LPUSH", "LRANGE", "LLEN"],
  ].flat(),
);
/** Commands of which all words are keys. */
const ALL: ReadonlySet<string> = new Set(["EXISTS", "DEL", "UNLINK", "TOUCH", "WATCH", "RENAME"]);

/** The keys of a command. Throws for one that is not known: then it belongs into this table. */
export function keysOf(words: readonly string[]): readonly string[] {
  const name = words[0].toUpperCase();
  if (FIRST.has(name)) return [words[1]];
  if (name === "XREAD" || name === "XREADGROUP") {
    const from = words.findIndex((word) => word.toUpperCase() === "STREAMS") + 1;
    return words.slice(from, from + (words.length - from) / 2);
  }
  if (KEYLESS.has(name)) return [];
  if (name === "EVAL" || name === "EVALSHA") return words.slice(3, 3 + Number(words[2]));
  if (name === "XGROUP" || name === "XINFO" || name === "OBJECT" || name === "MEMORY") return [words[2]];
  if (ALL.has(name)) return words.slice(1);
  throw new Error(`The keys of ${words.slice(0, 3).join(" ")} are not known`);
}

/** Whether the server may keep silent on purpose before it answers. */
export function blocks(words: readonly string[]): boolean {
  if (!/^XREAD(GROUP)?$/i.test(words[0])) return false;
  const options = words.slice(0, words.findIndex((word) => word.toUpperCase() === "STREAMS"));
  return options.some((word) => word.toUpperCase() === "BLOCK");
}
