// Tests the phases of a reading connection: which transitions are legal, over all pairs.

import { assertEquals, assertThrows } from "@std/assert";
import { enterPhase, NEXT_PHASES, type UnitPhase } from "../../../streamer/consumer/server/unit_phase.ts";
import { test } from "../../support/runner.ts";

const PHASES: readonly UnitPhase[] = ["disconnected", "preparing", "reading", "refused", "retired"];

/** Each phase, and the phases that may follow it. */
const LEGAL: Readonly<Record<UnitPhase, string>> = {
  disconnected: "preparing refused retired",
  preparing: "disconnected reading refused retired",
  reading: "disconnected preparing refused retired",
  refused: "disconnected preparing reading retired",
  retired: "",
};

for (const from of PHASES) {
  test(`a reading connection that is ${from} enters only the phases of the table, or stays in its own`, () => {
    for (const to of PHASES) {
      const isLegal = from === to || LEGAL[from].split(" ").includes(to);
      if (isLegal) assertEquals(enterPhase(from, to), to, `${from} to ${to}`);
      else assertThrows(() => enterPhase(from, to), Error, `from ${from} to ${to}`);
    }
  });
}

test("nothing is read before a connection was prepared, and nothing after it was retired", () => {
  const leadingTo = (phase: UnitPhase) => PHASES.filter((from) => NEXT_PHASES[from].includes(phase));
  assertEquals(leadingTo("reading"), ["preparing", "refused"]);
  assertEquals(NEXT_PHASES.retired, []);
  assertEquals(leadingTo("retired"), PHASES.filter((phase) => phase !== "retired"));
});
