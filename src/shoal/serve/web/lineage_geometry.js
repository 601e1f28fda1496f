/** Where the bands of shares over time lie; no DOM, so that it can be tested anywhere. */

/** @typedef {{times: number[], ids: number[], shares: number[][], dated: boolean}} History */
/** @typedef {{id: number | null, low: number[], high: number[]}} Band  id null: all smaller clusters together */

/** What split off from what: parent of each child.
 * @param {object[]} events
 * @returns {Map<number, number>}
 */
export function parentsOf(events) {
  const parents = new Map();
  for (const e of events) {
    if (e.kind === "split") {
      const from = e.parents?.[0] ?? e.cluster;
      for (const child of [e.cluster, ...(e.children ?? [])]) if (child !== from) parents.set(child, from);
    } else if (e.kind === "born" && e.parents?.length) parents.set(e.cluster, e.parents[0]);
  }
  return parents;
}

/** Ids so that what split off comes right after what it split off from.
 * @param {number[]} ids
 * @param {Map<number, number>} parents
 * @returns {number[]}
 */
export function bandOrder(ids, parents) {
  const there = new Set(ids);
  const children = new Map();
  const roots = [];
  for (const id of ids) {
    const parent = parents.get(id);
    if (there.has(parent)) children.set(parent, [...(children.get(parent) ?? []), id]);
    else roots.push(id);
  }
  const order = new Set();
  const visit = (id) => {
    // ids that are their own ancestors would never end
    if (order.has(id)) return;
    order.add(id);
    (children.get(id) ?? []).forEach(visit);
  };
  roots.forEach(visit);
  ids.forEach(visit);
  return [...order];
}

/** The ids with the largest shares at any time, in the order given.
 * @param {History} history
 * @param {number} most
 * @param {number | null} always an id that must be there
 * @returns {number[]}
 */
export function largest(history, most, always = null) {
  const peak = history.ids.map((id, i) => [id, Math.max(...history.shares.map((row) => row[i] ?? 0))]);
  const alive = peak.filter(([, top]) => top > 0);
  const kept = new Set(alive.toSorted((a, b) => b[1] - a[1]).slice(0, most).map(([id]) => id));
  if (always !== null) kept.add(always);
  return alive.map(([id]) => id).filter((id) => kept.has(id));
}

/** Bands from the bottom up, in shares of one.
 * @param {History} history
 * @param {number[]} order the ids to draw; the others are one band on top
 * @returns {Band[]}
 */
export function stack(history, order) {
  const column = new Map(history.ids.map((id, i) => [id, i]));
  const shown = new Set(order);
  const rest = history.ids.map((id, i) => (shown.has(id) ? -1 : i)).filter((i) => i >= 0);
  const floor = history.times.map(() => 0);
  const layer = (id, shareAt) => {
    const low = [...floor];
    history.shares.forEach((row, t) => floor[t] += Math.max(0, shareAt(row) || 0));
    return { id, low, high: [...floor] };
  };
  const bands = order.map((id) => layer(id, (row) => row[column.get(id)]));
  if (rest.length) bands.push(layer(null, (row) => rest.reduce((sum, i) => sum + (row[i] || 0), 0)));
  return bands;
}

/** The outline of a band; stretches where it has no share are left out.
 * @param {Band} band
 * @param {number[]} xs
 * @param {(share: number) => number} y
 * @returns {string}
 */
export function bandPath(band, xs, y) {
  const pieces = [];
  for (const [start, end] of stretches(band)) {
    const there = range(start, end);
    const upper = there.map((i) => point(xs[i], y(band.high[i])));
    const lower = there.reverse().map((i) => point(xs[i], y(band.low[i])));
    pieces.push(`M${upper.join("L")}L${lower.join("L")}Z`);
  }
  return pieces.join("");
}

/** First and last time of each stretch in which a band has a share, with the empty time at either side, where it tapers. */
export function stretches({ low, high }) {
  const found = [];
  let start = -1;
  for (let i = 0; i <= low.length; i++) {
    const isThere = i < low.length && high[i] - low[i] > 1e-9;
    if (isThere && start < 0) start = i;
    else if (!isThere && start >= 0) {
      found.push([Math.max(0, start - 1), Math.min(low.length - 1, i)]);
      start = -1;
    }
  }
  return found;
}

/** Place of a time among sorted times: the last that is not after it.
 * @param {number[]} times
 * @param {number} t
 */
export function placeOf(times, t) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= t) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** The middle of a band near a time; `side` says where to look if it has no share there: after (1) or before (-1).
 * @param {Band} band
 * @param {number[]} times
 * @param {number} t
 * @param {1 | -1} side
 * @returns {{i: number, share: number} | null}
 */
export function middle(band, times, t, side) {
  let i = placeOf(times, t);
  if (side > 0 && times[i] < t) i = Math.min(i + 1, times.length - 1);
  while (i >= 0 && i < times.length && !(band.high[i] - band.low[i] > 1e-9)) i += side;
  return i >= 0 && i < times.length ? { i, share: (band.low[i] + band.high[i]) / 2 } : null;
}

/** The band at a height of the stack, at one of the times.
 * @param {Band[]} bands
 * @param {number} i
 * @param {number} share height, from 0 at the bottom
 * @returns {Band | null}
 */
export function bandAt(bands, i, share) {
  return bands.find((band) => share >= band.low[i] && share < band.high[i]) ?? null;
}

function range(start, end) {
  return Array.from({ length: end - start + 1 }, (_, i) => start + i);
}

function point(x, y) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}
