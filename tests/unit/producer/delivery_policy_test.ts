// Tests the table of the next step for a message, by delivery, progress and event.

import { assert, assertEquals } from "@std/assert";
import { classify, endsReading, type ServerErrorClass } from "../../../resp/connection/server_errors.ts";
import { decide, type Progress, type SendEvent } from "../../../streamer/producer/messages/delivery_policy.ts";
import type { Delivery } from "../../../streamer/producer/options.ts";
import { test } from "../../support/runner.ts";

const DELIVERIES: readonly Delivery[] = ["at-least-once", "at-most-once", "exactly-once"];

/** How far a message has come: `doubtful` ones were in flight at a cut before. */
const STATES = {
  queued: { inFlight: false, doubtful: false },
  written: { inFlight: true, doubtful: false },
  "queued, doubtful": { inFlight: false, doubtful: true },
  "written, doubtful": { inFlight: true, doubtful: true },
} as const satisfies Record<string, Progress>;

type State = keyof typeof STATES;

/** Each decision as `action`, with `?` if the message may be stored already. */
function shown(delivery: Delivery, state: State, event: SendEvent): string {
  const { action, doubtful } = decide(delivery, STATES[state], event);
  return doubtful ? `${action}?` : action;
}

/**
 * For each event: the step in the states queued, written, queued and doubtful, written and doubtful; `-` cannot happen.
 */
type Row = readonly [queued: string, written: string, queuedDoubtful: string, writtenDoubtful: string];

const PASSING: Row = ["-", "wait", "-", "wait?"];
const FINAL: Row = ["-", "reject", "-", "reject?"];

const REFUSALS: Readonly<Record<ServerErrorClass, Row>> = {
  "redirect": PASSING,
  "retry-later": PASSING,
  "role-changed": PASSING,
  "no-writes": FINAL,
  "group-missing": FINAL,
  "stream-missing": FINAL,
  "wrong-type": FINAL,
  "group-exists": FINAL,
  "id-too-small": FINAL,
  "invalid-id": FINAL,
  "forbidden": FINAL,
  "unavailable": FINAL,
  "unauthenticated": FINAL,
  "wrong-password": FINAL,
  "unknown-protocol": FINAL,
  "denied": FINAL,
  "discarded": FINAL,
  "full": FINAL,
  "final": FINAL,
};

const OWN_TIME: Readonly<Record<"timed-out" | "ended" | "withdrawn" | "undeliverable", Row>> = {
  "timed-out": ["reject", "reject?", "reject?", "reject?"],
  "ended": ["reject", "reject?", "reject?", "reject?"],
  "withdrawn": ["reject", "abandon", "abandon?", "abandon?"],
  "undeliverable": ["-", "-", "reject?", "-"],
};

/** The same for every delivery: the message is sent again, or its outcome is known. */
const ALWAYS = { ...REFUSALS, ...OWN_TIME };

/** A message that is delivered at most once is never queued in doubt: it was rejected before. */
const CUTS: Readonly<Record<Delivery, Readonly<Record<"lost" | "lost-unread" | "unreadable", Row>>>> = {
  "at-least-once": {
    "lost": ["-", "resend?", "-", "resend?"],
    "lost-unread": ["-", "resend", "-", "resend?"],
    "unreadable": ["-", "resend?", "-", "reject?"],
  },
  "at-most-once": {
    "lost": ["-", "reject?", "-", "reject?"],
    "lost-unread": ["-", "resend", "-", "reject?"],
    "unreadable": ["-", "reject?", "-", "reject?"],
  },
  "exactly-once": {
    "lost": ["-", "resend?", "-", "resend?"],
    "lost-unread": ["-", "resend", "-", "resend?"],
    "unreadable": ["-", "resend?", "-", "reject?"],
  },
};

for (const delivery of DELIVERIES) {
  test(`a message delivered ${delivery}: the step after each event, in each state`, () => {
    const rows = Object.entries({ ...ALWAYS, ...CUTS[delivery] }) as [SendEvent, Row][]; // the tables' own keys
    const states = Object.keys(STATES) as State[]; // the table's own keys
    for (const [event, row] of rows) {
      row.forEach((expected, i) => {
        if (expected !== "-") assertEquals(shown(delivery, states[i], event), expected, `${event} of ${states[i]}`);
      });
    }
  });
}

test("decisions are made once: a cut of many messages allocates nothing", () => {
  assert(decide("at-least-once", STATES.written, "lost") === decide("exactly-once", STATES.written, "lost"));
  assert(Object.isFrozen(decide("at-least-once", STATES.written, "lost")));
});

const refused = (code: string) => decide("at-least-once", STATES.written, classify(code, code)).action;

test("exactly the refusals that pass by themselves are retried", () => {
  const passing = ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "BUSY", "MASTERDOWN", "READONLY"];
  for (const code of passing) assertEquals(refused(code), "wait", code);
  const final = [
    "OOM",
    "WRONGTYPE",
    "NOPERM",
    "ERR",
    "NOAUTH",
    "NOSCRIPT",
    "EXECABORT",
    "CROSSSLOT",
    "MISCONF",
    "BUSYGROUP",
    "",
    "moved",
    "constructor",
    "__proto__",
  ];
  for (const code of final) assertEquals(refused(code), "reject", code);
});

test("a server stops reading after a protocol error, and after nothing else", () => {
  for (const text of ["invalid bulk length", "invalid multibulk length", "expected '$', got 'x'"]) {
    assert(endsReading(`ERR Protocol error: ${text}`), text);
  }
  for (const text of ["ERR Invalid stream ID", "OOM no", "ERR", "", "Protocol error"]) assert(!endsReading(text), text);
});
