// The rules of the project's prose, and the judgement of sentences by them. Pure.

import type { Sentence } from "./sentences.ts";

/** What is allowed. */
export const PROSE_LIMITS = {
  /** Words of a sentence. */
  words: 45,
  /** Words from which on a sentence counts as long. */
  long: 30,
  /** Long sentences of a page, in percent. */
  longShare: 4,
  /** The mean number of words of a page's sentences. */
  mean: 15,
  /** Sentences from which on a page has a mean and a share. */
  least: 10,
} as const;

/** Words that a sentence needs to count in the statistics of its page: fragments do not lower the mean. */
const COUNTED = 4;

/** A wording that a plainer one replaces. */
export interface Wording {
  readonly pattern: RegExp;
  /** What to write instead. */
  readonly instead: string;
  /** Texts in which the pattern is fine. */
  readonly except?: RegExp;
}

const ATTACHED = "a proxy|proxies|load balancer|firewall|NAT|name|host name|gateway|address|host|VPN|TLS";

/** The glossary's words and patterns. Each must be so precise that it raises no false alarm. */
export const WORDINGS: readonly Wording[] = [
  // Again
  { pattern: /\banew\b/i, instead: "recreated, again" },
  { pattern: /\b(?:make|makes|made|making) again\b/i, instead: "recreated" },
  { pattern: /\b(?:go|goes|going|gone|went) on\b/i, instead: "continues, resumes" },
  { pattern: /\btak(?:e|es|en|ing) up again\b/i, instead: "resumed" },
  { pattern: /\b(?:come|comes|coming|came) again\b/i, instead: "is redelivered" },
  // Life and household
  {
    pattern: /\b(?:earlier|previous|former|own|new|next) (?:life|lives)\b/i,
    instead: "previous run, previous session",
  },
  { pattern: /\b(?:die|dies|died|dying)\b/i, instead: "crashes, exits, is closed" },
  { pattern: /\bdead\b(?![- ]letter)/i, instead: "lost, closed, crashed" },
  { pattern: /\balive\b/i, instead: "lease is renewed, keeps running", except: /\bkeep-alive\b/i },
  { pattern: /\b(?:bury|buries|buried|burial|graveyard)\b/i, instead: "dead-lettered, dead letters" },
  { pattern: /\borphan(?:s|ed)?\b/i, instead: "lost" },
  { pattern: /\bswallow(?:s|ed|ing)?\b/i, instead: "delivered but never received" },
  { pattern: /\b(?:heal|heals|healed|healing)\b/i, instead: "recoverable, recovers" },
  { pattern: /\b(?:house|storey|room|rooms|household)\b/i, instead: "layer, module, space" },
  { pattern: /\b(?:roster|ledger|latecomers?|keeper)\b/i, instead: "the glossary's term" },
  { pattern: /\bharms? (?:nothing|nobody)\b|\bwithout (?:any )?harm\b/i, instead: "is isolated, is ignored" },
  { pattern: /\bin good order\b/i, instead: "gracefully" },
  { pattern: /\blet(?:s|ting)? (?:it |them )?go\b/i, instead: "releases" },
  { pattern: /\bbear (?:it|that|this|them)\b/i, instead: "tolerate" },
  // Hands
  { pattern: /\bin (?:its|their|his|your|one's|the \w+['’]s|\w+['’]s) hands?\b/i, instead: "in flight" },
  { pattern: /\bhand(?:s|ed|ing)? (?:out|over|back)\b/i, instead: "returns, delivers, passes" },
  { pattern: /\b(?:is|are|was|were|be|been|being)(?: still)? handed\b/i, instead: "is delivered" },
  { pattern: /\b(?:give|gives|gave|given|giving) (?:it |them )?back\b/i, instead: "releases, returns" },
  { pattern: /\b(?:leave|leaves|leaving|left|lying) lying\b/i, instead: "unacknowledged, idle" },
  { pattern: /\btak(?:e|es|en|ing) (?:it |them )back\b/i, instead: "reclaims" },
  { pattern: /\bholds? nothing\b/i, instead: "has no pending entries" },
  { pattern: /\bunder way\b/i, instead: "in flight, in progress" },
  { pattern: /\bon (?:its|their|the) way\b/i, instead: "in flight" },
  // Telling and asking
  { pattern: /\btold\b/i, instead: "emitted, reported, returned, logged" },
  { pattern: /\btells? (?:of|so|why|how|that|which|what|whether|when|it)\b/i, instead: "reports, shows" },
  { pattern: /\b(?:is|are|was|were|be|been|being) asked\b/i, instead: "is queried, is requested" },
  { pattern: /\b(?:is|are|was|were) said\b/i, instead: "is documented, is specified" },
  { pattern: /\b(?:know|knows|knew) (?:no|nothing|none)\b/i, instead: "does not support, does not depend on" },
  // Order and place
  {
    pattern: new RegExp(
      `(?<!\\b(?:lags?|lagging|falls?|fell|fallen|far) )\\bbehind\\b(?! (?:(?:an?|the|one|its|such|some|this|that|your) )?` +
        `(?:[\\w-]+ )?(?:${ATTACHED}|proxy)\\b)`,
      "i",
    ),
    instead: "after",
  },
  {
    pattern:
      /\bin front of\b(?! (?:(?:a|the|your|its) )?(?:server|servers|Redis|cluster|node|nodes|database|service)\b)/i,
    instead: "before",
  },
  { pattern: /\bstand(?:s|ing)? (?:twice|in|on|at|there|still|before|beside|alone|by)\b/i, instead: "is" },
  { pattern: /\b(?:as (?:it|they) stands?|need not)\b/i, instead: "literally; does not have to" },
  { pattern: /\bup to where\b/i, instead: "until" },
  { pattern: /\bone after the other\b/i, instead: "in sequence" },
  { pattern: /\bfor ever\b/i, instead: "forever, without a limit" },
  { pattern: /\bin force\b/i, instead: "takes effect" },
  // Headless relatives
  {
    pattern:
      /\bwhat (?:is|was|are|were|has|had|comes?|came|waits?|follows|remains|stays|fails|failed|it (?:holds?|held|has|had))\b/i,
    instead: "name the thing: entries, messages, the value",
    except: /\?$/,
  },
  { pattern: /\bwhat (?:others|another|a lost|the others|the program|a program)\b/i, instead: "name the thing" },
  { pattern: /\bwhoever\b/i, instead: "the caller, the reader" },
  { pattern: /\b(?:nobody|somebody)\b/i, instead: "no consumer, a caller" },
  { pattern: /\bone['’]s own\b/i, instead: "your own" },
  { pattern: /\b(?:the )?(?:latter|former)\b/i, instead: "repeat the noun" },
  // Negation by nouns
  { pattern: /\b(?:that|which|what|it|this) (?:is|was) no (?!longer\b|more\b)\w+/i, instead: "is not a; invalid" },
  {
    pattern: /\b(?:that is|which is|there is|there are|where there is) none\b/i,
    instead: "otherwise; if it is missing",
  },
  { pattern: /\bwhere there (?:is|are|was|were)\b/i, instead: "if" },
  { pattern: /\bthat are none\b/i, instead: "invalid" },
  { pattern: /\bbe had\b/i, instead: "is available" },
  { pattern: /\bno more messages are handed\b/i, instead: "reading pauses" },
  { pattern: /\b(?:read|used|called|sent|kept) no more\b/i, instead: "is no longer" },
  // Other phrases
  { pattern: /\bmakes? sense of\b/i, instead: "malformed" },
  { pattern: /\bcomes? to nothing\b/i, instead: "is ignored" },
  { pattern: /\bpass(?:es|ed|ing)? over\b/i, instead: "skips" },
  { pattern: /\bmistake in the call\b/i, instead: "usage error" },
  { pattern: /\bnot built yet\b/i, instead: "not supported yet" },
  { pattern: /\btorn part\b/i, instead: "truncated part" },
  { pattern: /\bfree reading\b/i, instead: "standalone reading" },
];

/** Wordings of error messages only. */
const ERROR_WORDINGS: readonly Wording[] = [
  { pattern: /\bcurrent value is\b/, instead: "Cannot <action>: '<option>' must be <rule>, got <value>" },
];

/** A sentence, or a page, that breaks a rule. */
export interface Breach {
  readonly path: string;
  readonly line: number;
  /** The sentence; empty if the page as a whole is meant. */
  readonly sentence: string;
  /** The rule, and what to write instead. */
  readonly rule: string;
}

/** The sentences of a file. */
export interface Prose {
  readonly path: string;
  readonly sentences: readonly (Sentence & { readonly isError?: boolean })[];
}

/** Every breach of a file. */
export function judgeProse({ path, sentences }: Prose): Breach[] {
  const breaches: Breach[] = [];
  for (const sentence of sentences) {
    for (const rule of rulesBrokenBy(sentence)) {
      breaches.push({ path, line: sentence.line, sentence: sentence.text, rule });
    }
  }
  return [...breaches, ...pageRulesBrokenBy(sentences).map((rule) => ({ path, line: 1, sentence: "", rule }))];
}

function rulesBrokenBy(sentence: Prose["sentences"][number]): string[] {
  const { plain, words } = sentence;
  const rules: string[] = [];
  if (words > PROSE_LIMITS.words) rules.push(`${words} words: at most ${PROSE_LIMITS.words}`);
  if (count(plain, /:(?=\s|$)/g) > 1) rules.push("two colons in one sentence");
  if (count(plain, /;/g) > 1) rules.push("two semicolons in one sentence");
  for (const { pattern, instead, except } of sentence.isError ? [...WORDINGS, ...ERROR_WORDINGS] : WORDINGS) {
    const found = except?.test(plain) ? null : pattern.exec(plain);
    if (found) rules.push(`“${found[0]}” → ${instead}`);
  }
  return rules;
}

function pageRulesBrokenBy(sentences: readonly Sentence[]): string[] {
  const { counted, mean, long } = statisticsOf(sentences);
  if (counted < PROSE_LIMITS.least) return [];
  const rules: string[] = [];
  // One long sentence is allowed on a page of any length.
  const allowed = Math.max(1, Math.floor(counted * PROSE_LIMITS.longShare / 100));
  if (long > allowed) {
    rules.push(`${long} of ${counted} sentences have over ${PROSE_LIMITS.long} words: at most ${allowed} may`);
  }
  if (mean > PROSE_LIMITS.mean) {
    rules.push(`a mean of ${mean.toFixed(1)} words a sentence: at most ${PROSE_LIMITS.mean}`);
  }
  return rules;
}

/** What a page's sentences are like. */
export function statisticsOf(sentences: readonly Sentence[]): { counted: number; mean: number; long: number } {
  const lengths = sentences.map(({ words }) => words).filter((words) => words >= COUNTED);
  const mean = lengths.reduce((sum, words) => sum + words, 0) / Math.max(1, lengths.length);
  return { counted: lengths.length, mean, long: lengths.filter((words) => words > PROSE_LIMITS.long).length };
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
