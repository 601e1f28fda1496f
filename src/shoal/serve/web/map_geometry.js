/** Shapes of the map: hulls, smooth outlines, nearest things. No DOM, so that it can be tested anywhere. */

/** @typedef {[number, number]} Point */

/** Corners of the smallest convex shape around the points, counter-clockwise in a frame whose y points up.
 * @param {Point[]} points
 * @returns {Point[]} no corner twice; as many as there are different points if these are fewer than three
 */
export function convexHull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (ordered) => {
    const kept = [];
    for (const point of ordered) {
      while (kept.length > 1 && turn(kept.at(-2), kept.at(-1), point) <= 0) kept.pop();
      const last = kept.at(-1);
      if (last === undefined || last[0] !== point[0] || last[1] !== point[1]) kept.push(point);
    }
    return kept;
  };
  const lower = half(sorted);
  const upper = half(sorted.reverse());
  return lower.length < 2 ? lower : [...lower.slice(0, -1), ...upper.slice(0, -1)];
}

/** The points without the farthest tenth, as seen from their median: a few strays would make every hull huge.
 * @param {Point[]} points
 * @param {number} [part] share that is left out
 * @returns {Point[]}
 */
export function withoutFarthest(points, part = 0.1) {
  const drop = Math.floor(points.length * part);
  if (drop === 0) return [...points];
  const x = median(points.map((p) => p[0]));
  const y = median(points.map((p) => p[1]));
  const away = points.map((p) => (p[0] - x) ** 2 + (p[1] - y) ** 2);
  const order = [...away.keys()].sort((a, b) => away[a] - away[b]);
  return order.slice(0, points.length - drop).map((i) => points[i]);
}

/** A shape made larger by `pad`, each corner moved away from the middle.
 * @param {Point[]} corners
 * @param {number} pad
 * @returns {Point[]}
 */
export function padded(corners, pad) {
  const x = mean(corners.map((p) => p[0]));
  const y = mean(corners.map((p) => p[1]));
  return corners.map(([px, py]) => {
    const far = Math.hypot(px - x, py - y);
    return far === 0 ? [px, py] : [px + ((px - x) / far) * pad, py + ((py - y) / far) * pad];
  });
}

/** A closed smooth line through the corners, as cubic curves.
 * @param {Point[]} corners at least three
 * @returns {{from: Point, first: Point, second: Point, to: Point}[]} one curve per side, with its two handles
 */
export function smoothOutline(corners) {
  const n = corners.length;
  const along = corners.map((_, i) => {
    const [ax, ay] = corners[(i + n - 1) % n];
    const [bx, by] = corners[(i + 1) % n];
    const far = Math.hypot(bx - ax, by - ay) || 1;
    return [(bx - ax) / far, (by - ay) / far];
  });
  return corners.map((from, i) => {
    const to = corners[(i + 1) % n];
    // a third of the side is the length at which a regular polygon becomes nearly a circle
    const reach = Math.hypot(to[0] - from[0], to[1] - from[1]) / 3;
    const [u, v] = [along[i], along[(i + 1) % n]];
    return {
      from,
      first: [from[0] + u[0] * reach, from[1] + u[1] * reach],
      second: [to[0] - v[0] * reach, to[1] - v[1] * reach],
      to,
    };
  });
}

/** Whether a place lies in a convex shape or on its edge.
 * @param {Point[]} corners counter-clockwise
 * @param {Point} place
 */
export function isInside(corners, place) {
  return corners.every((from, i) => turn(from, corners[(i + 1) % corners.length], place) >= -1e-9);
}

/** Position of the nearest place to (x, y) that is at most `reach` away, or -1.
 * @param {ArrayLike<number>} xs
 * @param {ArrayLike<number>} ys
 * @param {number} x
 * @param {number} y
 * @param {number} reach
 */
export function nearest(xs, ys, x, y, reach) {
  let best = -1;
  let least = reach * reach;
  for (let i = 0; i < xs.length; i++) {
    const away = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
    if (away <= least) {
      least = away;
      best = i;
    }
  }
  return best;
}

/** Where the line from the middle of a box to a place outside leaves the box, and in which direction.
 * @param {{left: number, top: number, width: number, height: number}} box
 * @param {Point} place
 * @returns {{at: Point, angle: number} | null} null for a place within the box
 */
export function atEdge(box, place) {
  const [halfX, halfY] = [box.width / 2, box.height / 2];
  const [x, y] = [place[0] - box.left - halfX, place[1] - box.top - halfY];
  const out = Math.max(Math.abs(x) / halfX, Math.abs(y) / halfY);
  if (out <= 1) return null;
  return { at: [box.left + halfX + x / out, box.top + halfY + y / out], angle: Math.atan2(y, x) };
}

function turn(a, b, c) {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

function mean(values) {
  return values.reduce((sum, v) => sum + v, 0) / values.length;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
