// Tests the table of the contract: which methods each way of acknowledging has, for the compiler and at run time, and
// which options may be combined.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type AckConsumer,
  type CommitConsumer,
  connect,
  type Consumer,
  type ConsumerOptions,
  type GroupConsumer,
  type RedisStreamer,
  StreamerError,
} from "../../../mod.ts";
import { groupOf } from "../../support/consumer/grouping.ts";
import { uniqueKey } from "../../support/keys.ts";
import { test } from "../../support/runner.ts";
import { sharedServer } from "../../support/servers/server.ts";

const server = await sharedServer();

/** Whether two types are the same. If not, the compiler refuses `true`. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;

function same<A, B>(_: Same<A, B>): void {}

/** Never called: the compiler checks this code. */
export async function types(streamer: RedisStreamer): Promise<void> {
  const realTime = await streamer.createConsumer("k", { mode: "real-time" });
  same<typeof realTime, Consumer>(true);
  // @ts-expect-error no ack in real time
  realTime.ack;
  // @ts-expect-error no commit in real time
  realTime.commit;
  // @ts-expect-error no group in real time
  realTime.groupId;
  for (const mode of ["resumable", "load-balanced"] as const) {
    const delayed = await streamer.createConsumer("k", { mode, autoCommit: "delayed", autoCommitDelay: 1 });
    same<typeof delayed, GroupConsumer>(true);
    // @ts-expect-error no ack where time acknowledges
    delayed.ack;
    // @ts-expect-error no nack where time acknowledges
    delayed.nack;
    // @ts-expect-error no term where time acknowledges
    delayed.term;
    // @ts-expect-error no commit where time acknowledges
    delayed.commit;
    const immediate = await streamer.createConsumer("k", { mode, autoCommit: "immediate" });
    same<typeof immediate, GroupConsumer>(true);
    // @ts-expect-error no ack where reading acknowledges
    immediate.ackWith;
    // @ts-expect-error no commit where reading acknowledges
    immediate.commit;
    const rolling = await streamer.createConsumer("k", { mode, autoCommit: "rolling", autoCommitInterval: 1 });
    same<typeof rolling, AckConsumer>(true);
    // @ts-expect-error no commit where acks are sent by themselves
    rolling.commit;
    const disabled = await streamer.createConsumer("k", { mode, autoCommit: "disabled", maxDeliveries: 3 });
    same<typeof disabled, CommitConsumer>(true);
    // @ts-expect-error the delay is for delayed
    await streamer.createConsumer("k", { mode, autoCommit: "rolling", autoCommitDelay: 1 });
    // @ts-expect-error the interval is not for disabled
    await streamer.createConsumer("k", { mode, autoCommit: "disabled", autoCommitInterval: 1 });
    // @ts-expect-error the interval is not for immediate
    await streamer.createConsumer("k", { mode, autoCommit: "immediate", autoCommitInterval: 1 });
    // @ts-expect-error dead letters are not for immediate
    await streamer.createConsumer("k", { mode, autoCommit: "immediate", maxDeliveries: 1 });
  }
  const usual = await streamer.createConsumer("k", { mode: "resumable" });
  same<typeof usual, GroupConsumer>(true);
  const shared = await streamer.createConsumer("k", { mode: "load-balanced", maxDeliveries: 3, deadLetter: "d" });
  same<typeof shared, GroupConsumer>(true);
  // @ts-expect-error dead letters are not for resumable and delayed
  await streamer.createConsumer("k", { mode: "resumable", maxDeliveries: 3 });
  // @ts-expect-error claiming is for load-balanced
  await streamer.createConsumer("k", { mode: "resumable", autoCommit: "rolling", autoClaimIdle: 1 });
  // @ts-expect-error groups are not for real time
  await streamer.createConsumer("k", { mode: "real-time", group: "g" });
  // @ts-expect-error no such policy
  await streamer.createConsumer("k", { mode: "resumable", autoCommit: "manual" });
  // @ts-expect-error a mode is needed
  await streamer.createConsumer("k", { group: "g" });
}

interface Verbs {
  ack(message: unknown): void;
  ackWith(identifier: unknown): void;
  nack(message: unknown): void;
  term(message: unknown): void;
  commit(): Promise<void>;
}

const VERBS = ["ack", "ackWith", "nack", "term"] as const;

const ROWS: readonly { readonly options: ConsumerOptions; readonly acks: boolean; readonly commits: boolean }[] = [
  { options: { mode: "real-time", autoStreamReset: "earliest" }, acks: false, commits: false },
  ...(["resumable", "load-balanced"] as const).flatMap((mode) => [
    { options: { mode, group: "g" } as const, acks: false, commits: false },
    { options: { mode, group: "g", autoCommit: "delayed" } as const, acks: false, commits: false },
    { options: { mode, group: "g", autoCommit: "immediate" } as const, acks: false, commits: false },
    { options: { mode, group: "g", autoCommit: "rolling" } as const, acks: true, commits: false },
    { options: { mode, group: "g", autoCommit: "disabled" } as const, acks: true, commits: true },
  ]),
];

for (const { options, acks, commits } of ROWS) {
  const { autoCommit = "by default" } = "autoCommit" in options ? options : {};
  test(`${options.mode} ${autoCommit}: ${acks ? "" : "no "}ack, ${commits ? "" : "no "}commit`, async () => {
    const { key } = await groupOf(server, "g", 4);
    await using streamer = await connect(server.url);
    const consumer = await streamer.createConsumer(key, options);
    // A checked border: a call that the types forbid must be refused at run time too.
    const verbs = consumer as unknown as Verbs;
    for (const verb of VERBS) {
      const message = await consumer.next();
      const call = () => verbs[verb](verb === "ackWith" ? message.identifier : message);
      if (acks) call();
      else assertEquals(assertThrows(call, StreamerError, "autoCommit").code, "INVALID_OPTION", verb);
    }
    if (commits) await verbs.commit();
    else {
      const error = await assertRejects(() => verbs.commit(), StreamerError);
      assertEquals(error.code, "INVALID_OPTION");
      assert(error.message.includes("commit"), error.message);
    }
  });
}

const balanced = { mode: "load-balanced", group: "g" };
const resumable = { mode: "resumable", group: "g" };

/** Base options, and one that must not be combined with them. */
const FORBIDDEN: readonly (readonly [object, string, unknown])[] = [
  [resumable, "maxDeliveries", 3],
  [resumable, "deadLetter", "d"],
  ...["autoClaimInterval", "autoClaimIdle", "maxHold", "consumerExpiry"].map((name) => [resumable, name, 5] as const),
  [resumable, "shardOwnership", "shared"],
  ...[balanced, resumable].flatMap((base) => [
    [{ ...base, autoCommit: "rolling" }, "autoCommitDelay", 5] as const,
    [{ ...base, autoCommit: "disabled" }, "autoCommitDelay", 5] as const,
    [{ ...base, autoCommit: "disabled" }, "autoCommitInterval", 5] as const,
    [{ ...base, autoCommit: "immediate" }, "autoCommitDelay", 5] as const,
    [{ ...base, autoCommit: "immediate" }, "autoCommitInterval", 5] as const,
    [{ ...base, autoCommit: "immediate" }, "maxDeliveries", 5] as const,
    [{ ...base, autoCommit: "immediate" }, "deadLetter", "d"] as const,
    [base, "codecs", {}] as const,
    [base, "batchsize", 5] as const,
  ]),
];

/** Values that none of them may have. */
const BAD: readonly (readonly [string, unknown])[] = [
  ["group", ""],
  ["group", 5],
  ["group", null],
  ["consumerId", ""],
  ["consumerId", {}],
  ["mkstream", 1],
  ["mkstream", null],
  ["autoCommit", "manual"],
  ["autoCommit", null],
  ["autoCommit", "toString"],
  ["autoCommitDelay", -1],
  ["autoCommitDelay", NaN],
  ["autoCommitDelay", "5"],
  ["autoCommitInterval", -1],
  ["onGroupLost", "ignore"],
  ["keepAlive", "yes"],
  ["maxUnacked", 0],
  ["maxUnacked", 1.5],
  ["maxUnacked", null],
  ["maxDeliveries", 0],
  ["maxDeliveries", 2.5],
  ["maxDeliveries", null],
  ["autoClaimInterval", 0],
  ["autoClaimInterval", -1],
  ["autoClaimInterval", "30s"],
  ["autoClaimIdle", 0],
  ["autoClaimIdle", null],
  ["shardOwnership", "mine"],
  ["maxHold", 0],
  ["maxHold", NaN],
  ["consumerExpiry", 0],
  ["consumerExpiry", "1d"],
];

async function refusal(options: object): Promise<StreamerError> {
  await using streamer = await connect(server.url);
  const key = uniqueKey();
  // A checked border: a call that the types forbid must be refused at run time too.
  const error = await assertRejects(() => streamer.createConsumer(key, options as ConsumerOptions), StreamerError);
  assertEquals([streamer.stats().consumers, await server.command("EXISTS", key)], [0, 0]);
  return error;
}

test("forbidden combinations of options are refused by name, and the rule is shown", async () => {
  for (const [base, name, value] of FORBIDDEN) {
    const error = await refusal({ ...base, [name]: value });
    assertEquals(error.code, "INVALID_OPTION", name);
    assert(error.message.includes(name), error.message);
    assert(error.message.includes("autoStreamReset"), error.message);
  }
});

test("invalid values are refused by name, with the value", async () => {
  for (const [name, value] of BAD) {
    const error = await refusal({ ...balanced, [name]: value });
    assertEquals(error.code, "INVALID_OPTION", `${name} ${value}`);
    assert(error.message.includes(name), error.message);
    if (typeof value !== "object") assert(error.message.includes(String(value)), error.message);
  }
  assertEquals((await refusal({ ...balanced, deadLetter: "a b" })).code, "INVALID_STREAM_KEY");
  assertEquals((await refusal({ ...balanced, shardOwnership: "owned" })).code, "UNSUPPORTED");
});

test("every valid value is accepted", async () => {
  await using streamer = await connect(server.url);
  const good: readonly object[] = [
    { autoClaimInterval: null },
    { consumerExpiry: null },
    { autoCommitDelay: 0, autoCommitInterval: 0 },
    { maxDeliveries: 1, deadLetter: "d:1" },
    { keepAlive: false, maxUnacked: 1, maxHold: Infinity, shardOwnership: "shared", onGroupLost: "fail" },
    { autoCommit: undefined, autoCommitDelay: undefined, group: "g", consumerId: undefined, deadLetter: undefined },
  ];
  for (const options of good) {
    const { key } = await groupOf(server, "g", 1);
    const all = { ...balanced, ...options } as ConsumerOptions; // A checked border: each of these is allowed
    await using consumer = await streamer.createConsumer(key, all);
    assertEquals((await consumer.next()).text(), "0");
  }
});
