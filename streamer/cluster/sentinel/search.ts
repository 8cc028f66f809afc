// Finds the address of a primary: asks its Sentinels, one after another, until one of them names it.

import type { Clock } from "../../../resp/connection/clock.ts";
import { ConnectError } from "../../../resp/connection/handshake/connect_error.ts";
import { printable } from "../../../resp/errors.ts";
import { survey } from "../refresh/survey.ts";
import type { KnownSentinels } from "./known_sentinels.ts";
import type { Sentinel, SentinelAnswer } from "./sentinel.ts";

/** Failures that the text of an error lists. */
const MOST_LISTED = 8;

/** What a search works with. */
export interface SearchPorts {
  readonly clock: Clock;
  /** The name of the primary. */
  readonly name: string;
  readonly sentinels: KnownSentinels;
  /** The latest failover that any Sentinel has reported so far. */
  readonly epoch: bigint | undefined;
  /** Whether it is a final error that no Sentinel knows the name. */
  readonly isUnknownFinal: boolean;
}

/** A Sentinel that has named the primary. */
export interface Named {
  readonly by: Sentinel;
  readonly answer: SentinelAnswer;
}

type Outcome = Named | { readonly by: Sentinel; readonly failure: ConnectError };

/**
 * Asks the Sentinels. An answer that is older than one of an earlier search counts only if all others are as old.
 *
 * @throws {ConnectError} if none of them names the primary. Its text lists the reasons. Or the signal's reason.
 */
export async function searchPrimary(ports: SearchPorts, signal: AbortSignal): Promise<Named> {
  const { clock, sentinels } = ports;
  const outcome = await survey<Sentinel, Outcome, Named | readonly ConnectError[]>({
    clock,
    candidates: sentinels.inOrder(),
    ask: (sentinel, asking) => ask(ports, sentinel, asking),
    judge: (outcomes, isExhausted) => judge(outcomes, isExhausted, ports.epoch),
    signal,
  });
  if (!("by" in outcome)) throw nobodyNames(ports.name, outcome);
  sentinels.note(outcome.by, "answered");
  sentinels.learn(outcome.answer.peers, outcome.by);
  return outcome;
}

async function ask(
  { name, sentinels, isUnknownFinal }: SearchPorts,
  by: Sentinel,
  signal: AbortSignal,
): Promise<Outcome> {
  let failure: ConnectError;
  try {
    const answer = await by.ask(signal);
    if (answer !== undefined) return { by, answer };
    const reason = `it does not know the name ${printable(name)}`;
    failure = new ConnectError("CONNECT", reason, { final: isUnknownFinal, place: by.name });
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error; // the signal's reason
    failure = error;
  }
  sentinels.note(by, "failed");
  return { by, failure };
}

/** The first answer that is up to date. Once all were asked: the latest of the others, or all failures. */
function judge(
  outcomes: readonly Outcome[],
  isExhausted: boolean,
  epoch: bigint | undefined,
): Named | readonly ConnectError[] | undefined {
  const named = outcomes.filter((outcome): outcome is Named => "answer" in outcome);
  const upToDate = named.find(({ answer }) => !isOlder(answer.epoch, epoch));
  if (upToDate !== undefined || !isExhausted) return upToDate;
  if (named.length > 0) return named.reduce((a, b) => isOlder(a.answer.epoch, b.answer.epoch) ? b : a);
  return outcomes.flatMap((outcome) => "failure" in outcome ? outcome.failure : []);
}

function isOlder(epoch: bigint | undefined, than: bigint | undefined): boolean {
  return epoch !== undefined && than !== undefined && epoch < than;
}

/** One error for all Sentinels. */
function nobodyNames(name: string, failures: readonly ConnectError[]): ConnectError {
  const last = failures[failures.length - 1];
  const listed = failures.slice(0, MOST_LISTED).map(({ message }) => message.replace(/^Cannot connect to /, ""));
  if (failures.length > MOST_LISTED) listed.push(`and ${failures.length - MOST_LISTED} more`);
  const code = failures.every((failure) => failure.code === last.code) ? last.code : "CONNECT";
  const final = failures.every((failure) => failure.final);
  return new ConnectError(code, `no Sentinel names its address. ${listed.join("; ")}`, {
    final,
    cause: last,
    place: `the primary ${printable(name)}`,
  });
}
