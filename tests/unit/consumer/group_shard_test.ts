// Tests the legal transitions of a shard that is read through a group: every phase by every event.

import { assertEquals, assertThrows } from "@std/assert";
import type { GroupPhase, PhaseEvent } from "../../../streamer/consumer/shards/group_phase.ts";
import { GroupShard } from "../../../streamer/consumer/shards/group_shard.ts";
import { FIRST_ID } from "../../../streamer/model/id.ts";
import { test } from "../../support/runner.ts";

/** Each event as a method. */
const VERBS: Readonly<Record<PhaseEvent, (shard: GroupShard) => void>> = {
  assign: (shard) => shard.assign(),
  release: (shard) => shard.release(),
  prepare: (shard) => shard.prepare(),
  groupFound: (shard) => shard.groupFound("5-0"),
  streamMissing: (shard) => shard.streamMissing(),
  groupLost: (shard) => shard.groupLost(),
  groupRecreated: (shard) => shard.groupRecreated("5-0", { isReset: false }),
  replayed: (shard) => shard.replayed(),
  skipReplay: (shard) => shard.skipReplay(),
};
const EVENTS = Object.keys(VERBS) as PhaseEvent[];

/** The events that lead to each phase. */
const PATHS: Readonly<Record<GroupPhase, readonly PhaseEvent[]>> = {
  "awaiting-stream": ["streamMissing", "assign"],
  "replaying": ["groupFound", "assign"],
  "reading": ["groupFound", "assign", "replayed"],
  "group-lost": ["groupFound", "assign", "groupLost"],
  "released:awaiting-stream": ["streamMissing", "assign", "release"],
  "released:replaying": [],
  "released:reading": ["groupFound", "assign", "replayed", "release"],
  "released:group-lost": ["groupFound", "assign", "groupLost", "release"],
};

/** A letter for each phase: small where the shard is released. */
const LETTERS: Readonly<Record<GroupPhase, string>> = {
  "awaiting-stream": "A",
  "replaying": "P",
  "reading": "R",
  "group-lost": "L",
  "released:awaiting-stream": "a",
  "released:replaying": "p",
  "released:reading": "r",
  "released:group-lost": "l",
};
const PHASES = Object.keys(LETTERS) as GroupPhase[];

/** The phase after each event, for each phase in the order above; "-" where the event is illegal. */
const EXPECTED: Readonly<Record<PhaseEvent, string>> = {
  assign: "- - - - A P R L",
  release: "a p r l - - - -",
  prepare: "- - - - p p r r",
  groupFound: "R P R R r p r r",
  streamMissing: "- A - - - a - -",
  groupLost: "- L L - - l l -",
  groupRecreated: "- - - R - - - -",
  replayed: "- R R L - - - -",
  skipReplay: "A R R L a r r l",
};

function shardIn(phase: GroupPhase): GroupShard {
  const shard = new GroupShard({ streamKey: "s", shardId: 0, redisKey: "s" });
  for (const event of PATHS[phase]) VERBS[event](shard);
  assertEquals(shard.phase, phase);
  return shard;
}

test("each event moves a shard to the phase of the table, and throws if it is illegal", () => {
  for (const event of EVENTS) {
    const after = PHASES.map((phase) => {
      const shard = shardIn(phase);
      try {
        VERBS[event](shard);
        return LETTERS[shard.phase];
      } catch (error) {
        assertEquals(String(error), `Error: Illegal transition of shard s: ${event} while ${phase}`);
        assertEquals(shard.phase, phase);
        return "-";
      }
    });
    assertEquals(after.join(" "), EXPECTED[event], event);
  }
});

test("a shard is read in any phase that is not released, and leases are renewed while its group exists", () => {
  for (const phase of PHASES) {
    const shard = shardIn(phase);
    assertEquals(shard.isRead, !phase.startsWith("released"), phase);
    assertEquals(shard.hasGroup, phase.endsWith("replaying") || phase.endsWith("reading"), phase);
    assertEquals(shard.isReplayed, phase.endsWith("reading"), phase);
  }
});

test("an illegal event changes no position", () => {
  const shard = shardIn("reading");
  shard.advance("9-0");
  assertThrows(() => shard.groupRecreated("1-0", { isReset: true }));
  assertEquals([shard.position, shard.phase], ["9-0", "reading"]);
});

test("after this consumer has moved the group, only delivered entries show how far the stream reaches", () => {
  const shard = shardIn("reading");
  shard.advance("9-0");
  shard.reach("9-0");
  shard.reach("4-0");
  assertEquals([shard.position, shard.reached, shard.streamReached], ["9-0", "9-0", "9-0"]);
  shard.moveTo("20-0");
  assertEquals([shard.position, shard.reached, shard.streamReached], ["20-0", "9-0", "9-0"]);
});

test("a group that is recreated on a new stream forgets the state of the old one, any other does not", () => {
  for (const isReset of [false, true]) {
    const shard = shardIn("reading");
    shard.reach("9-0");
    shard.moveTo("20-0");
    shard.releaseEntries(["8-0"]);
    shard.groupLost();
    shard.groupRecreated("3-0", { isReset });
    assertEquals([shard.position, shard.reached], ["3-0", isReset ? FIRST_ID : "9-0"]);
    assertEquals([shard.streamReached, shard.releasedCount], isReset ? ["3-0", 0] : ["9-0", 1]);
  }
});

test("a released entry counts as one until it is delivered here again", () => {
  const shard = shardIn("reading");
  shard.releaseEntries(["1-0", "2-0"]);
  const isReleased = (id: string) => shard.isReleased({ id, idle: 86_400_000 });
  assertEquals(["1-0", "2-0", "3-0"].map(isReleased), [true, true, false]);
  assertEquals(shard.isReleased({ id: "1-0", idle: 86_399_999 }), false);
  shard.redelivered("1-0");
  assertEquals([shard.hasReleased("1-0"), shard.hasReleased("2-0"), shard.releasedCount], [false, true, 1]);
  shard.releaseEntries(["5-0"]);
  assertEquals([shard.hasReleased("2-0"), shard.releasedCount], [false, 1]);
  shard.forgetReleased();
  assertEquals(shard.releasedCount, 0);
});

test("a released entry that never arrived here counts as reached, so that its next delivery is noticed", () => {
  const shard = shardIn("reading");
  shard.reach("2-0");
  shard.releaseEntries(["1-0", "3-0"]);
  assertEquals(shard.reached, "3-0");
});
