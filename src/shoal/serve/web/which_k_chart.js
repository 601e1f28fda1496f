/** One criterion drawn over k: the geometry, which needs no page, and the small picture of it. */

import { svg } from "./dom.js";

const FRAME = { width: 220, height: 92, left: 8, right: 8, top: 8, bottom: 18 };
const LOG_FROM = 16; // from 2 to 32 clusters upwards, equal factors are what the eye should compare

/**
 * @typedef {{key: string, title: string, better: string, meaning: string, ks: number[],
 *   values: (number|null)[], best: number|null}} Curve
 */

/**
 * Horizontal places of the ks, from 0 to 1; logarithmic where the range is wide.
 * @param {number[]} ks
 * @returns {(k: number) => number}
 */
export function scaleOfK(ks) {
  const [low, high] = [Math.min(...ks), Math.max(...ks)];
  if (!(high > low)) return () => 0.5;
  const bend = low > 0 && high / low >= LOG_FROM ? Math.log : (k) => k;
  return (k) => (bend(k) - bend(low)) / (bend(high) - bend(low));
}

/**
 * The k of the list that lies nearest to a horizontal place from 0 to 1.
 * @param {number[]} ks
 * @param {number} place
 * @returns {number}
 */
export function nearestK(ks, place) {
  const at = scaleOfK(ks);
  return ks.reduce((best, k) => (Math.abs(at(k) - place) < Math.abs(at(best) - place) ? k : best), ks[0]);
}

/**
 * A curve in the units of the picture; where a value is missing, the line has a gap.
 * @param {Curve} curve
 * @param {number[]} ks all that the row of pictures shares, so that they line up
 * @returns {{dots: {k: number, value: number, x: number, y: number}[], path: string, x: (k: number) => number,
 *   low: number, high: number}}
 */
export function chartOf(curve, ks) {
  const across = FRAME.width - FRAME.left - FRAME.right;
  const down = FRAME.height - FRAME.top - FRAME.bottom;
  const at = scaleOfK(ks);
  const x = (k) => FRAME.left + at(k) * across;
  const real = curve.values.filter((v) => Number.isFinite(v));
  const [low, high] = [Math.min(...real), Math.max(...real)];
  const y = (v) => FRAME.top + (high > low ? (high - v) / (high - low) : 0.5) * down;
  const dots = [];
  let path = "";
  let joined = false;
  curve.ks.forEach((k, i) => {
    const value = curve.values[i];
    if (!Number.isFinite(value)) {
      joined = false;
      return;
    }
    dots.push({ k, value, x: x(k), y: y(value) });
    path += `${joined ? "L" : "M"}${x(k).toFixed(1)} ${y(value).toFixed(1)}`;
    joined = true;
  });
  return { dots, path, x, low, high };
}

/**
 * The ks named under a picture: the ends, and those between that have room.
 * @param {number[]} ks ascending
 * @param {number} gap least distance, as a share of the width
 * @returns {number[]}
 */
export function namedKs(ks, gap = 0.13) {
  if (ks.length < 2) return ks.slice();
  const at = scaleOfK(ks);
  const last = ks[ks.length - 1];
  const out = [ks[0]];
  for (const k of ks.slice(1, -1)) {
    if (at(k) - at(out[out.length - 1]) >= gap && at(last) - at(k) >= gap) out.push(k);
  }
  return [...out, last];
}

/**
 * The picture of one curve. It answers the pointer; the slider beside it serves the keyboard.
 * @param {Curve} curve
 * @param {{ks: number[], suggested: number|null, onPick: (k: number) => void, onPoint: (dot: object|null) => void}} options
 * @returns {{node: SVGElement, mark: (k: number|null) => void}}
 */
export function drawCurve(curve, { ks, suggested, onPick, onPoint }) {
  const { width, height, top, bottom } = FRAME;
  const chart = chartOf(curve, ks);
  const floor = height - bottom;
  const best = chart.dots.find((dot) => dot.k === curve.best);
  const line = (kind, k) => svg("line", { class: kind, x1: chart.x(k), x2: chart.x(k), y1: top - 4, y2: floor + 3 });
  const chosen = svg("line", { class: "k-chosen", y1: top - 4, y2: floor + 3, visibility: "hidden" });
  const here = svg("circle", { class: "k-here", r: 3.4, visibility: "hidden" });
  const node = svg("svg", {
    class: "k-curve",
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `${curve.title} by number of clusters${best ? `, best at ${best.k}` : ""}`,
  });
  node.append(svg("line", { class: "k-base", x1: 0, x2: width, y1: floor + 3, y2: floor + 3 }));
  if (Number.isFinite(suggested)) node.append(line("k-suggested", suggested));
  node.append(chosen, svg("path", { class: "k-line", d: chart.path }));
  for (const dot of chart.dots) node.append(svg("circle", { class: "k-dot", cx: dot.x, cy: dot.y, r: 1.9 }));
  if (best) node.append(svg("circle", { class: "k-best", cx: best.x, cy: best.y, r: 4.6 }));
  node.append(here);
  for (const k of namedKs(ks)) {
    const name = svg("text", { x: chart.x(k), y: height - 3, "text-anchor": "middle" });
    name.textContent = String(k);
    node.append(name);
  }
  const under = (event) => {
    const box = node.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    const near = (best, dot) => (best === null || Math.abs(dot.x - x) < Math.abs(best.x - x) ? dot : best);
    return chart.dots.reduce(near, null);
  };
  const point = (dot) => {
    here.setAttribute("visibility", dot ? "visible" : "hidden");
    if (dot) here.setAttribute("cx", dot.x);
    if (dot) here.setAttribute("cy", dot.y);
    onPoint(dot);
  };
  node.addEventListener("pointermove", (event) => point(under(event)));
  node.addEventListener("pointerleave", () => point(null));
  node.addEventListener("click", (event) => {
    const dot = under(event);
    if (dot) onPick(dot.k);
  });
  return {
    node,
    mark(k) {
      const inside = Number.isFinite(k) && k >= ks[0] && k <= ks[ks.length - 1];
      chosen.setAttribute("visibility", inside ? "visible" : "hidden");
      if (!inside) return;
      chosen.setAttribute("x1", chart.x(k));
      chosen.setAttribute("x2", chart.x(k));
    },
  };
}
