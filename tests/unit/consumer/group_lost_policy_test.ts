// Tests where a lost group is recreated, as decisions.

import { assert, assertEquals } from "@std/assert";
import { judgeLost, type LostGroup } from "../../../streamer/consumer/group/group_lost_policy.ts";
import type { OnGroupLost } from "../../../streamer/consumer/group_options.ts";
import type { OnStreamReset } from "../../../streamer/consumer/options.ts";
import { test } from "../../support/runner.ts";

const end = (id: string): LostGroup["end"] => ({ id, exists: true, exact: true });
const judge = (lost: LostGroup, onGroupLost: OnGroupLost, onStreamReset: OnStreamReset = "earliest") =>
  judgeLost(lost, onGroupLost, onStreamReset);

test("a group that vanished from a stream that continued starts after the last id seen", () => {
  for (const last of ["5-1", "5-2", "9-0", "18446744073709551615-0"]) {
    const lost = { position: "5-1", reached: "5-1", wasMissing: false, end: end(last) };
    assertEquals(judge(lost, "resume"), { kind: "create", position: "5-1", isReset: false }, last);
  }
});

test("a group whose stream was recreated starts at its beginning", () => {
  const shorter = { position: "5-1", reached: "5-1", wasMissing: false, end: end("5-0") };
  assertEquals(judge(shorter, "resume"), { kind: "create", position: "0-0", isReset: true });
  const again = { position: "5-1", reached: "5-1", wasMissing: true, end: end("9-0") };
  assertEquals(judge(again, "resume"), { kind: "create", position: "0-0", isReset: true });
});

test("a group that was moved ahead of its stream starts there again: the stream is the same", () => {
  const lost = { position: "9-0", reached: "5-1", wasMissing: false, end: end("5-1") };
  assertEquals(judge(lost, "resume"), { kind: "create", position: "9-0", isReset: false });
  assertEquals(judge({ ...lost, end: end("5-0") }, "resume"), { kind: "create", position: "0-0", isReset: true });
});

test("the other policies use the ends that they name", () => {
  for (const wasMissing of [true, false]) {
    const lost = { position: "5-1", reached: "5-1", wasMissing, end: end("7-3") };
    const at = (policy: OnGroupLost) => judge(lost, policy);
    const [earliest, latest] = [at("earliest"), at("latest")];
    assert(earliest.kind === "create" && latest.kind === "create");
    assertEquals([earliest.position, latest.position], ["0-0", "7-3"]);
    assertEquals(at("fail"), { kind: "fail" });
  }
});

test("`latest` does not skip entries that were added after all had been delivered, unless the stream is a new one", () => {
  const lost = { position: "4-0", drainedTo: "5-1", reached: "5-1", wasMissing: false, end: end("7-3") };
  assertEquals(judge(lost, "latest"), { kind: "create", position: "5-1", isReset: false });
  assertEquals(judge(lost, "resume"), { kind: "create", position: "4-0", isReset: false });
  assertEquals(judge({ ...lost, wasMissing: true }, "latest"), { kind: "create", position: "7-3", isReset: true });
  assertEquals(judge({ ...lost, end: end("2-0") }, "latest"), { kind: "create", position: "2-0", isReset: true });
});

test("for a recreated stream `resume` follows onStreamReset", () => {
  const lost = { position: "5-1", reached: "5-1", wasMissing: false, end: end("2-0") };
  assertEquals(judge(lost, "resume", "latest"), { kind: "create", position: "2-0", isReset: true });
  assertEquals(judge(lost, "resume", "fail"), { kind: "fail" });
  const same = { position: "5-1", reached: "5-1", wasMissing: false, end: end("6-0") };
  assertEquals(judge(same, "resume", "fail"), { kind: "create", position: "5-1", isReset: false });
});

test("a last entry that is only a remaining one does not prove a new stream", () => {
  const lost = {
    position: "5-1",
    reached: "5-1",
    wasMissing: false,
    end: { id: "2-0", exists: undefined, exact: false },
  };
  assertEquals(judge(lost, "resume"), { kind: "create", position: "5-1", isReset: false });
});
