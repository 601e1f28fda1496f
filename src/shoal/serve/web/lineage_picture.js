/** Draws the bands, their axis and what happened to them. */

import { clusterOf } from "./colours.js";
import { fill, svg } from "./dom.js";
import { shortTime, ticks } from "./format.js";
import { bandOrder, bandPath, largest, middle, parentsOf, stack } from "./lineage_geometry.js";

const MOST_BANDS = 40;
const MOST_SIGNS = 60;
const AXIS = 18;
const LEAD = 10;

/**
 * @typedef {object} Picture
 * @property {import("./lineage_geometry.js").Band[]} bands
 * @property {Map<number | null, SVGElement>} areas
 * @property {(x: number) => number} timeAt
 * @property {(t: number) => number} x
 * @property {(y: number) => number} shareAt
 * @property {number} bottom
 */

/**
 * @param {SVGElement} node
 * @param {object} state
 * @param {number} width
 * @param {number} height
 * @returns {Picture}
 */
export function draw(node, state, width, height) {
  const { history, events, selected } = state;
  const { times, dated } = history;
  const [start, end] = [times[0], times.at(-1)];
  const bottom = height - AXIS;
  const x = (t) => (width * (t - start)) / (end - start);
  const order = bandOrder(largest(history, MOST_BANDS, history.ids.includes(selected) ? selected : null), parentsOf(events));
  const bands = stack(history, order);
  const top = Math.max(...bands.at(-1).high, 1e-9);
  const y = (share) => bottom - (bottom - 2) * (share / top);
  const xs = times.map(x);

  const areas = new Map();
  for (const band of bands) {
    const area = svg("path", { class: band.id === null ? "band rest" : "band", d: bandPath(band, xs, y) });
    if (band.id !== null) area.style.setProperty("--c", clusterOf(state, band.id).colour);
    areas.set(band.id, area);
  }
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  fill(node,
    svg("g", null, [...areas.values()]),
    svg("g", { class: "signs" }, signs(bands, times, events, xs, y)),
    axis(start, end, dated, x, width, bottom));
  return { bands, areas, x, bottom, timeAt: (px) => start + ((end - start) * px) / width, shareAt: (py) => (top * (bottom - py)) / (bottom - 2) };
}

function axis(start, end, dated, x, width, bottom) {
  const places = ticks(start, end, Math.max(2, Math.floor(width / 110)), dated);
  return svg("g", { class: "axis" },
    svg("line", { x1: 0, x2: width, y1: bottom + 0.5, y2: bottom + 0.5 }),
    places.map((t) => {
      const at = x(t);
      // words at the edges stay inside the picture
      const anchor = at < 30 ? "start" : at > width - 30 ? "end" : "middle";
      return [svg("line", { x1: at, x2: at, y1: bottom, y2: bottom + 4 }), svg("text", { x: at, y: bottom + 15, "text-anchor": anchor }, shortTime(t, dated, end - start))];
    }));
}

/** Births, deaths, splits and merges of the bands that are drawn, the newest of them; that all began once is no news. */
function signs(bands, times, events, xs, y) {
  const byId = new Map(bands.map((band) => [band.id, band]));
  // a joint starts before and ends after its time, so that it is a curve and not a hook
  const lead = (LEAD * (times.at(-1) - times[0])) / (xs.at(-1) || 1);
  const place = (id, t, side) => {
    const found = byId.has(id) ? middle(byId.get(id), times, t, side) : null;
    return found && [xs[found.i], y(found.share)];
  };
  return events.filter((e) => e.time > times[0] && e.time <= times.at(-1)).slice(0, 3 * MOST_SIGNS).flatMap((e) => {
    if (e.kind === "born") return ring(place(e.cluster, e.time, 1));
    if (e.kind === "died") return cross(place(e.cluster, e.time, -1));
    if (e.kind === "split") {
      const from = e.parents?.[0] ?? e.cluster;
      return [e.cluster, ...(e.children ?? [])].filter((id) => id !== from).map((id) => curve(place(from, e.time - lead, -1), place(id, e.time + lead, 1)));
    }
    if (e.kind === "merged") {
      const into = e.children?.[0] ?? e.cluster;
      return [e.cluster, ...(e.parents ?? [])].filter((id) => id !== into).map((id) => curve(place(id, e.time - lead, -1), place(into, e.time + lead, 1)));
    }
    return [];
  }).filter(Boolean).slice(0, MOST_SIGNS);
}

function ring(at) {
  return at && svg("circle", { class: "born", cx: at[0], cy: at[1], r: 3.5 });
}

function cross(at) {
  return at && svg("path", { class: "died", d: `M${at[0] - 3} ${at[1] - 3}l6 6m0 -6l-6 6` });
}

function curve(from, to) {
  if (!from || !to) return null;
  const bend = Math.max(8, Math.abs(to[0] - from[0]) / 2);
  return svg("path", { class: "joint", d: `M${from[0]} ${from[1]}C${from[0] + bend} ${from[1]} ${to[0] - bend} ${to[1]} ${to[0]} ${to[1]}` });
}
