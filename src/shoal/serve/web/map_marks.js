/** What lies on top of the map: markers with their labels, live points, outliers, the probe. */

import { atEdge } from "./map_geometry.js";
import { LINE, beside } from "./map_labels.js";
import { inkOn } from "./map_colour.js";
import { numberOf } from "./map_picture.js";
import { arrowHead, circle, cross, line, ring, star } from "./map_shapes.js";

export const PING_MS = 1000;
export const FADE_MS = 60000;
const OPEN = 13;

/**
 * @typedef {object} Stage
 * @property {CanvasRenderingContext2D} ctx
 * @property {object} inks
 * @property {import("./map_scale.js").Box} box
 * @property {(at: [number, number]) => [number, number]} put  chart units to pixels
 * @property {(cluster: number) => string} colourOf
 * @property {Set<number>} lit
 */

/** Markers, the largest beneath. Large ones let the rows beneath them be seen.
 * @param {Stage} stage
 * @param {import("./map_motion.js").Mark[]} marks
 * @param {Map<number, object>} clusters
 * @param {{selected: number | null, focused: number | null}} which
 * @param {boolean} [solid]  none is seen through
 */
export function drawMarks({ ctx, inks, put, colourOf, lit }, marks, clusters, { selected, focused }, solid = false) {
  for (const mark of inOrder(marks, lit)) {
    const [x, y] = put(mark.at);
    const colour = colourOf(mark.id) ?? inks.soft;
    const shown = (mark.alpha ?? 1) * (lit.size === 0 || lit.has(mark.id) ? 1 : 0.32);
    const open = !solid && mark.r >= OPEN;
    ctx.globalAlpha = shown * (open ? 0.3 : 1);
    if (!open) circle(ctx, x, y, mark.r + 1.5, inks.panel);
    circle(ctx, x, y, mark.r, colour);
    if (open) ring(ctx, x, y, mark.r, colour, 2.5, shown);
    ctx.globalAlpha = shown;
    const inside = clusters.get(mark.id) ? numberOf(clusters.get(mark.id)) : String(mark.id);
    if (fitsInside(mark.r, inside)) drawNumber(ctx, inks, x, y, mark.r, inside, open ? null : inkOn(colour));
    if (mark.ring > 0) ring(ctx, x, y, mark.r + 3 + 14 * (1 - mark.ring), colour, 2, mark.ring);
    if (mark.id === selected) ring(ctx, x, y, mark.r + 4, inks.ink, 2, 1);
    if (mark.id === focused) ring(ctx, x, y, mark.r + 8, inks.accent, 2.5, 1);
  }
  ctx.globalAlpha = 1;
}

function drawNumber(ctx, inks, x, y, r, text, ink) {
  ctx.font = r < 11 ? inks.tiny : inks.bold;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  if (ink === null) {
    ctx.lineJoin = "round";
    ctx.lineWidth = 3.5;
    ctx.strokeStyle = inks.panel;
    ctx.strokeText(text, x, y + 0.5);
  }
  ctx.fillStyle = ink ?? inks.ink;
  ctx.fillText(text, x, y + 0.5);
}

/** Whether a number is drawn within its marker.
 * @param {number} r
 * @param {string} text
 */
export function fitsInside(r, text) {
  return r >= 4.5 + 3.4 * text.length;
}

/** @param {Stage} stage @param {object[]} labels with text, width, mark, side and room around the mark */
export function drawLabels({ ctx, inks, put, lit }, labels) {
  ctx.font = inks.label;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.lineJoin = "round";
  for (const { text, mark, side, width, room } of labels) {
    const [x, y] = put(mark.at);
    const [left, top] = beside({ x, y, r: mark.r + room, width }, side);
    ctx.globalAlpha = (mark.alpha ?? 1) * (lit.size === 0 || lit.has(mark.id) ? 1 : 0.3);
    ctx.strokeStyle = inks.panel;
    ctx.lineWidth = 4;
    ctx.strokeText(text, left, top + LINE / 2);
    ctx.fillStyle = inks.ink;
    ctx.fillText(text, left, top + LINE / 2);
  }
  ctx.globalAlpha = 1;
}

/** Rows that have just arrived: a ring that shrinks to a dot, and a dot that fades.
 * @param {Stage} stage
 * @param {{at: [number, number], cluster: number, outlier: object | null, born: number}[]} recent
 * @param {number} now
 * @param {boolean} calm  no rings
 */
export function drawRecent({ ctx, inks, put, colourOf, lit }, recent, now, calm) {
  for (const point of recent) {
    const age = now - point.born;
    if (!point.at || age > FADE_MS || point.outlier) continue;
    const [x, y] = put(point.at);
    const fresh = calm ? 0 : Math.max(0, 1 - age / PING_MS);
    const colour = colourOf(point.cluster) ?? inks.soft;
    const shown = (1 - age / FADE_MS) * (lit.size === 0 || lit.has(point.cluster) ? 1 : 0.15);
    ctx.globalAlpha = shown;
    circle(ctx, x, y, 3.4, inks.panel);
    circle(ctx, x, y, 2.6, colour);
    if (fresh > 0) ring(ctx, x, y, 3 + 13 * fresh, colour, 1.5, shown * (1 - fresh * 0.5));
  }
  ctx.globalAlpha = 1;
}

/** Outliers: a cross, and at the edge an arrow to those that lie beyond it.
 * @param {Stage} stage
 * @param {{at: [number, number], cluster: number}[]} outliers
 * @param {(outlier: object) => number} freshness  1 when it has just come, 0 after a second
 */
export function drawOutliers({ ctx, inks, box, put, lit }, outliers, freshness) {
  ctx.lineCap = "round";
  for (const [i, outlier] of outliers.entries()) {
    if (!outlier.at) continue;
    const [x, y] = put(outlier.at);
    const fresh = freshness(outlier);
    // the newest come first; old ones should not outshout the clusters
    const shown = (lit.size === 0 || lit.has(outlier.cluster) ? 1 : 0.2) * Math.max(0.45, 1 - i / 30);
    const edge = atEdge(box, [x, y]);
    ctx.globalAlpha = shown * (edge ? 0.6 : 0.9);
    if (edge) arrowHead(ctx, edge.at, edge.angle, 6, inks.ring);
    else {
      cross(ctx, x, y, 3.6, inks.panel, 4);
      cross(ctx, x, y, 3.6, inks.ring, 1.8);
    }
    if (fresh > 0) ring(ctx, ...(edge?.at ?? [x, y]), 6 + 16 * fresh, inks.ring, 2, shown * (1 - fresh * 0.5));
  }
  ctx.globalAlpha = 1;
}

/** The row that is tried: a star, with lines to the centres that are nearest.
 * @param {Stage} stage
 * @param {{at: [number, number], cluster: number, nearest: {id: number}[]}} probe
 * @param {Map<number, import("./map_motion.js").Mark>} marks
 */
export function drawProbe({ ctx, inks, put, colourOf }, probe, marks) {
  const [x, y] = put(probe.at);
  const ids = [probe.cluster, ...(probe.nearest ?? []).map((n) => n.id).filter((id) => id !== probe.cluster)];
  for (const [i, id] of ids.slice(0, 4).entries()) {
    const mark = marks.get(id);
    if (!mark) continue;
    const [cx, cy] = put(mark.at);
    // to the edge of the marker, so that its number can be read
    const part = 1 - Math.min(1, mark.r / (Math.hypot(cx - x, cy - y) || 1));
    ctx.globalAlpha = i === 0 ? 0.95 : 0.55;
    ctx.setLineDash(i === 0 ? [] : [4, 4]);
    line(ctx, x, y, x + (cx - x) * part, y + (cy - y) * part, i === 0 ? colourOf(id) ?? inks.ink : inks.soft, i === 0 ? 2.5 : 1.25);
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
  star(ctx, x, y, 11, inks.panel);
  star(ctx, x, y, 8.5, inks.ink);
}

/** Where clusters were, and how they got to where they are.
 * @param {Stage} stage
 * @param {import("./map_motion.js").Mark[]} ghosts
 * @param {Map<number, import("./map_motion.js").Mark>} marks  as they are now
 */
export function drawBefore({ ctx, inks, put, colourOf, lit }, ghosts, marks) {
  for (const ghost of ghosts) {
    const [x, y] = put(ghost.at);
    const now = marks.get(ghost.id);
    const colour = colourOf(ghost.id) ?? inks.soft;
    const shown = lit.size === 0 || lit.has(ghost.id) ? 1 : 0.2;
    ctx.globalAlpha = shown * 0.5;
    circle(ctx, x, y, ghost.r, inks.panel);
    ctx.globalAlpha = shown;
    ctx.setLineDash(now ? [] : [3, 3]);
    ring(ctx, x, y, ghost.r, colour, 2, shown);
    ctx.setLineDash([]);
    if (now) between(ctx, [x, y], ghost.r, put(now.at), now.r, inks.soft);
    else cross(ctx, x, y, Math.max(3, ghost.r * 0.45), colour, 2);
  }
  const old = new Set(ghosts.map((ghost) => ghost.id));
  for (const mark of marks.values()) {
    if (!old.has(mark.id)) ring(ctx, ...put(mark.at), mark.r + 4, colourOf(mark.id) ?? inks.soft, 1.5, 0.9);
  }
  ctx.globalAlpha = 1;
}

/** A ring that shrinks onto a place.
 * @param {Stage} stage @param {[number, number]} at chart units @param {number} fresh 1..0
 */
export function drawPing({ ctx, inks, put }, at, fresh) {
  const [x, y] = put(at);
  ring(ctx, x, y, 8 + 30 * fresh, inks.accent, 2.5, Math.min(1, fresh * 2));
  ring(ctx, x, y, 8, inks.accent, 2, Math.min(1, fresh * 2));
}

function inOrder(marks, lit) {
  // what stands out must not be hidden beneath the rest
  return lit.size === 0 ? marks : [...marks.filter((m) => !lit.has(m.id)), ...marks.filter((m) => lit.has(m.id))];
}

function between(ctx, [x, y], r, [cx, cy], cr, colour) {
  const far = Math.hypot(cx - x, cy - y);
  if (far < r + cr + 6) return;
  const [u, v] = [(cx - x) / far, (cy - y) / far];
  line(ctx, x + u * r, y + v * r, cx - u * (cr + 5), cy - v * (cr + 5), colour, 1.5);
  arrowHead(ctx, [cx - u * (cr + 2), cy - v * (cr + 2)], Math.atan2(v, u), 5, colour);
}
