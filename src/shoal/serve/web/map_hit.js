/** The thing beneath the pointer. No DOM. */

import { nearest } from "./map_geometry.js";

export const REACH = 14;

/**
 * @param {object} now  what the painter shows
 * @param {[number, number]} pixels
 * @returns {import("./map_tip.js").Hit | null}
 */
export function hitAt(now, [x, y]) {
  const { picture, put, on } = now;
  const mark = markAt(now.marks, put, x, y);
  if (mark && mark.gap <= 0) return hit("mark", mark);
  if (picture.mode === "live") {
    const odd = placeAt(on.outliers, put, x, y, 8);
    if (odd) return { kind: "outlier", cluster: odd.thing.cluster, pixels: odd.pixels, outlier: odd.thing };
  }
  if (picture.mode === "compare") {
    const ghost = markAt(picture.ghosts, put, x, y);
    if (ghost && ghost.gap <= 2) return hit("ghost", ghost);
  }
  const points = now.points();
  const shown = on.shape === "density" ? -1 : nearest(points.x, points.y, x, y, REACH);
  const away = shown < 0 ? Infinity : Math.hypot(points.x[shown] - x, points.y[shown] - y);
  if (mark && mark.gap <= Math.min(REACH, away)) return hit("mark", mark);
  const fresh = picture.mode === "live" ? placeAt(on.recent.filter((p) => !p.outlier), put, x, y, 6) : null;
  if (fresh && fresh.away <= away) return { kind: "live", cluster: fresh.thing.cluster, pixels: fresh.pixels };
  return shown < 0 ? null : { kind: "point", cluster: points.cluster[shown], pixels: [points.x[shown], points.y[shown]] };
}

function hit(kind, { thing, pixels }) {
  return { kind, cluster: thing.id, pixels };
}

/** The marker whose edge is nearest; of those that the pointer is in, the smallest, for it lies on top. */
function markAt(marks, put, x, y) {
  let best = null;
  for (const thing of marks) {
    const pixels = put(thing.at);
    const gap = Math.max(0, Math.hypot(pixels[0] - x, pixels[1] - y) - thing.r - 2);
    if (gap <= REACH && (best === null || gap < best.gap || (gap === 0 && thing.r <= best.thing.r))) best = { thing, pixels, gap };
  }
  return best;
}

function placeAt(things, put, x, y, reach) {
  let best = null;
  for (const thing of things) {
    if (!thing.at) continue;
    const pixels = put(thing.at);
    const away = Math.hypot(pixels[0] - x, pixels[1] - y);
    if (away <= reach && (best === null || away < best.away)) best = { thing, pixels, away };
  }
  return best;
}
