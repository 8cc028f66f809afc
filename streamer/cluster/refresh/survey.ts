// Asks several nodes the same question, one after another, until the answers suffice. A node that is slow does not hold up the others.

import type { Clock, Timer } from "../../../resp/connection/clock.ts";

/** Milliseconds without an answer after which the next node is asked, too. */
const HEDGE = 500;

/** Options of {@linkcode survey}. */
export interface SurveyOptions<Candidate, Answer, Result> {
  readonly clock: Clock;
  /** Whom to ask, in this order. */
  readonly candidates: readonly Candidate[];
  /** Maximum number of answers. @default {as many as there are candidates} */
  readonly most?: number;
  /** Asks one of them. A rejection is no answer. */
  readonly ask: (candidate: Candidate, signal: AbortSignal) => Promise<Answer>;
  /** What follows from the answers so far, in their order; `undefined` to ask another. Must give a result once all were asked. */
  readonly judge: (answers: readonly Answer[], isExhausted: boolean) => Result | undefined;
  readonly signal: AbortSignal;
}

/** Resolves with the result of `judge`. Questions that are still open by then are cancelled. Rejects with the signal's reason. */
export function survey<Candidate, Answer, Result>(options: SurveyOptions<Candidate, Answer, Result>): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const { clock, candidates, most = Infinity, ask, judge, signal } = options;
  const leaving = new AbortController();
  const answers: Answer[] = [];
  let asked = 0;
  let open = 0;
  let timer: Timer | undefined;
  const end = () => {
    timer?.stop();
    signal.removeEventListener("abort", abort);
    leaving.abort(new DOMException("The answers of other nodes suffice", "AbortError"));
  };
  const abort = () => {
    end();
    reject(signal.reason);
  };
  const judged = () => {
    const isExhausted = answers.length >= most || (open === 0 && asked >= candidates.length);
    const result = judge(answers, isExhausted);
    if (result === undefined) return next();
    end();
    resolve(result);
  };
  const settled = () => {
    open--;
    if (!leaving.signal.aborted) judged();
  };
  const next = () => {
    timer?.stop();
    if (asked >= candidates.length) return;
    open++;
    ask(candidates[asked++], leaving.signal).then((answer) => void answers.push(answer), () => {}).then(settled);
    timer = clock.after(HEDGE, next);
  };
  if (signal.aborted) reject(signal.reason);
  else {
    signal.addEventListener("abort", abort, { once: true });
    if (candidates.length === 0) judged();
    else next();
  }
  return promise;
}
