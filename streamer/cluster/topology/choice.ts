// Which of several nodes' views of a cluster to believe: pure decisions, so that one node that is wrong, behind the others or a
// stranger cannot take the map away.

import { type ClusterNode, type ClusterView, NO_OWNER } from "./view.ts";

/** A view, and who gave it. */
export interface Answer {
  readonly view: ClusterView;
  /** Whether it came from an address that the user gave, not from one that another node has named. */
  readonly fromSeed: boolean;
}

/** What follows from the answers so far. */
export type Choice =
  | { readonly kind: "accept"; readonly view: ClusterView }
  /** No answer can be believed by itself: ask another node at once. */
  | { readonly kind: "ask-another" }
  /** The nodes that can be asked have all answered, and the map of now is better than any of theirs. */
  | { readonly kind: "keep" };

/** What is known besides the answers. */
export interface ChoiceContext {
  /** Whether no other node can be asked. */
  readonly exhausted: boolean;
  /** Ids of nodes that cannot be reached. */
  readonly lost?: ReadonlySet<string>;
}

/**
 * Chooses among the answers of one refresh, in the order in which they came. `current` is the view of now, `undefined` at first.
 *
 * - A view is trusted if a seed gave it, if it shares a node id with the current view, or with a view that a seed gave. An address that
 *   was learnt may belong to another cluster by now.
 * - A trusted view is accepted at once if it covers as many slots, and each owner of now that can be reached still owns slots in it.
 * - Otherwise two trusted views with the same owners are accepted.
 * - Once all nodes have answered, the view with the most slots is accepted, unless it covers fewer than the current one.
 */
export function chooseView(
  current: ClusterView | undefined,
  answers: readonly Answer[],
  { exhausted, lost = new Set() }: ChoiceContext,
): Choice {
  const trusted = trustedViews(current, answers).filter(({ covered }) => covered > 0);
  const sound = trusted.findLast((view) => current === undefined || !isDoubtful(current, view, lost));
  if (sound !== undefined) return { kind: "accept", view: sound };
  const agreed = trusted.findLast((view, i) => trusted.slice(0, i).some((other) => sameOwners(view, other)));
  if (agreed !== undefined) return { kind: "accept", view: agreed };
  if (!exhausted) return { kind: "ask-another" };
  const most = Math.max(...trusted.map(({ covered }) => covered));
  const fullest = trusted.findLast(({ covered }) => covered === most);
  const isBetter = fullest !== undefined && fullest.covered >= (current?.covered ?? 0);
  return isBetter ? { kind: "accept", view: fullest } : { kind: "keep" };
}

function trustedViews(current: ClusterView | undefined, answers: readonly Answer[]): ClusterView[] {
  const ids = new Set(current?.nodes.map(({ id }) => id));
  for (const { view, fromSeed } of answers) {
    if (fromSeed) { for (const { id } of view.nodes) ids.add(id); }
  }
  return answers.flatMap(({ view, fromSeed }) => fromSeed || view.nodes.some(({ id }) => ids.has(id)) ? [view] : []);
}

/** Whether a view lacks what the current one has: an owner that can be reached, or slots. */
function isDoubtful(current: ClusterView, view: ClusterView, lost: ReadonlySet<string>): boolean {
  if (view.covered < current.covered) return true;
  const owners = new Set(ownersOf(view).map(({ id }) => id));
  return ownersOf(current).some(({ id }) => !owners.has(id) && !lost.has(id));
}

/** The nodes that own slots. */
export function ownersOf({ nodes, owners }: ClusterView): ClusterNode[] {
  const found = new Set(owners);
  return nodes.filter((_, i) => found.has(i));
}

function sameOwners(a: ClusterView, b: ClusterView): boolean {
  return a.covered === b.covered && a.owners.every((owner, slot) => idAt(a, owner) === idAt(b, b.owners[slot]));
}

function idAt({ nodes }: ClusterView, owner: number): string | undefined {
  return owner === NO_OWNER ? undefined : nodes[owner].id;
}
