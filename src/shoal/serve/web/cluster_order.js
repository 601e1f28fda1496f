/** Which clusters a list shows, and in which order; no DOM, so that it can be tested anywhere. */

/** @typedef {{id: number, label: string, share: number, keywords?: string[], traits?: {text: string, label: string}[], history?: [number, number][]}} Cluster */

/** How much a share has grown: now, less its mean over the earlier half of what is known.
 * @param {Cluster} cluster
 */
export function growth(cluster) {
  const history = cluster.history ?? [];
  if (history.length < 2) return 0;
  const early = history.slice(0, Math.max(1, history.length >> 1));
  return cluster.share - early.reduce((sum, [, share]) => sum + share, 0) / early.length;
}

/** When a cluster is first heard of: by the event of its birth, else by its history; null if nobody knows.
 * @param {Cluster} cluster
 * @param {{kind: string, cluster: number, time: number, children?: number[]}[]} events
 */
export function bornAt(cluster, events) {
  const birth = events.find((e) => e.kind === "born" && e.cluster === cluster.id)
    ?? events.find((e) => e.kind === "split" && (e.children ?? []).includes(cluster.id) && e.cluster !== cluster.id);
  return birth?.time ?? cluster.history?.[0]?.[0] ?? null;
}

const RANK = {
  size: (a, b) => b.share - a.share,
  growing: (a, b) => growth(b) - growth(a),
};

/** Ids in the order a person asked for.
 * @param {Cluster[]} clusters
 * @param {"size" | "newest" | "growing"} by
 * @param {object[]} events
 * @returns {number[]}
 */
export function ordered(clusters, by, events = []) {
  if (by === "newest") {
    const born = new Map(clusters.map((c) => [c.id, bornAt(c, events) ?? -Infinity]));
    return [...clusters].sort((a, b) => compare(born.get(b.id), born.get(a.id)) || b.id - a.id).map((c) => c.id);
  }
  return [...clusters].sort((a, b) => RANK[by](a, b) || a.id - b.id).map((c) => c.id);
}

/** The wanted order, but rows that would move by one place only stay: a list that people read must not flicker.
 * @param {number[]} shown ids as they are shown
 * @param {number[]} wanted ids as they would be sorted
 * @returns {number[]}
 */
export function settledOrder(shown, wanted) {
  const now = new Set(wanted);
  const stays = shown.filter((id) => now.has(id));
  const isNew = new Set(wanted.filter((id) => !shown.includes(id)));
  const others = wanted.filter((id) => !isNew.has(id));
  const was = new Map(stays.map((id, i) => [id, i]));
  const key = new Map(others.map((id, i) => [id, Math.abs(was.get(id) - i) <= 1 ? was.get(id) : i]));
  const order = others.toSorted((a, b) => key.get(a) - key.get(b));
  // new ones go where they belong among those that were there
  wanted.forEach((id, i) => isNew.has(id) && order.splice(i, 0, id));
  return order;
}

/** Whether a cluster has every word of a filter in its label, keywords, traits or id.
 * @param {Cluster} cluster
 * @param {string} filter
 */
export function matches(cluster, filter) {
  const words = filter.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [cluster.label, `cluster ${cluster.id}`, ...(cluster.keywords ?? []), ...(cluster.traits ?? []).map((t) => `${t.label} ${t.text}`)]
    .join(" ").toLocaleLowerCase();
  return words.every((word) => text.includes(word));
}

function compare(a, b) {
  return a === b ? 0 : a - b;
}
