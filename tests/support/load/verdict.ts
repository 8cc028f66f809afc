// Holds a load against what it must have come to, and prints its figures.

import { assert, assertEquals } from "@std/assert";
import { runtime } from "../runner.ts";
import type { Outcome } from "./outcome.ts";

/** A time that was measured, and the mark for it on a quiet machine. Both in milliseconds. */
export interface Timing {
  readonly what: string;
  readonly time: number;
  readonly mark: number;
}

/** How many times its mark a time may take here: other processes may have most of the machine. */
const MARGIN = 4;

/** What must hold besides that no acknowledged message is lost, and that all are stored in the order of the calls. */
export interface Claims {
  /** Messages that may be stored twice. @default {none} */
  readonly mayRepeat?: (payload: string) => boolean;
  /** Whether a message may be rejected, by the code and the outcome of its error. @default {none} */
  readonly mayFail?: (error: string, payload: string) => boolean;
}

/** Fails unless the counts are exact and the times within their margins. Prints one line of figures. */
export function judge(what: string, outcome: Outcome, timings: readonly Timing[], claims: Claims = {}): void {
  const { mayRepeat = () => false, mayFail = () => false } = claims;
  console.log(`${runtime}: ${what}: ${figures(outcome)}; ${timings.map(textOf).join(", ")}`);
  const repeated = outcome.repeated.filter((payload) => !mayRepeat(payload));
  const rejected = [...outcome.rejected].flatMap(([error, payloads]) =>
    payloads.filter((payload) => !mayFail(error, payload)).map((payload) => `${error}: ${payload}`)
  );
  const { lost, disordered, wrong } = outcome;
  assertEquals({ lost, repeated, disordered, rejected, wrong }, {
    lost: [],
    repeated: [],
    disordered: [],
    rejected: [],
    wrong: [],
  });
  for (const timing of timings) {
    const limit = MARGIN * timing.mark + outcome.longestPause;
    assert(timing.time <= limit, `${textOf(timing)} is above ${Math.round(limit)} ms`);
  }
}

function figures({ sent, acked, lost, repeated, disordered, rejected }: Outcome): string {
  const codes = [...rejected].map(([error, { length }]) => `${length} ${error}`).join(", ");
  return [
    `${sent} sent`,
    `${acked} acknowledged`,
    `${lost.length} lost`,
    `${repeated.length} repeated`,
    `${disordered.length} out of order`,
    `${sent - acked} rejected${codes && ` (${codes})`}`,
  ].join(", ");
}

function textOf({ what, time, mark }: Timing): string {
  return `${what} ${Math.round(time)} ms (mark ${mark})`;
}
