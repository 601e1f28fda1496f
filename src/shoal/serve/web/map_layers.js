/** What lies beneath the markers: axes, points, hulls and density, drawn onto a canvas. */

import { number, ticks } from "./format.js";
import { CELL, densityPicture } from "./map_density.js";
import { convexHull, padded, smoothOutline, withoutFarthest } from "./map_geometry.js";
import { channels } from "./map_colour.js";
import { toChart, toPixels, zoomOf } from "./map_scale.js";

const HULL_PAD = 7;
const knownHulls = new WeakMap();

/**
 * @typedef {object} Scenery
 * @property {import("./map_picture.js").Picture} picture
 * @property {import("./map_scale.js").Frame} frame
 * @property {import("./map_scale.js").Frame} home
 * @property {import("./map_scale.js").Box} box
 * @property {number} width
 * @property {number} height
 * @property {object} inks  colours of the theme
 * @property {(cluster: number) => string} colourOf
 * @property {Set<number>} lit  clusters that stand out; none: all are alike
 * @property {string} shape  points, hulls or density
 */

/** @param {CanvasRenderingContext2D} ctx @param {Scenery} scenery */
export function drawLayer(ctx, scenery) {
  const points = inPixels(scenery);
  if (scenery.shape === "density") return drawDensity(ctx, scenery, points);
  if (scenery.shape === "hulls") drawHulls(ctx, scenery);
  drawPoints(ctx, scenery, points, scenery.shape === "hulls" ? 0.6 : 1);
}

/** Places of all points in pixels.
 * @param {Scenery} scenery
 */
export function inPixels({ picture: { points }, frame, box }) {
  const [left, top] = [box.left + box.width / 2 - frame.x * frame.sx, box.top + box.height / 2 + frame.y * frame.sy];
  return { ...points, x: points.x.map((x) => left + x * frame.sx), y: points.y.map((y) => top - y * frame.sy) };
}

/** @param {CanvasRenderingContext2D} ctx @param {Scenery} scenery */
export function drawAxes(ctx, { picture: { chart }, frame, box, inks, width, height }) {
  if (chart.kind === "landmarks") return;
  const [left, bottom] = toChart(frame, box, [0, height]);
  const [right, top] = toChart(frame, box, [width, 0]);
  ctx.save();
  ctx.font = inks.small;
  ctx.lineWidth = 1;
  ctx.strokeStyle = inks.grid;
  // adding nothing makes -0 a 0
  const across = ticks(left, right, width / 110).map((x) => x + 0);
  const up = chart.kind === "line" ? [] : ticks(bottom, top, height / 80).map((y) => y + 0);
  const px = (x) => Math.round(box.left + box.width / 2 + (x - frame.x) * frame.sx) + 0.5;
  const py = (y) => Math.round(box.top + box.height / 2 - (y - frame.y) * frame.sy) + 0.5;
  ctx.beginPath();
  for (const x of across) ctx.moveTo(px(x), 0), ctx.lineTo(px(x), height);
  for (const y of up) ctx.moveTo(0, py(y)), ctx.lineTo(width, py(y));
  ctx.stroke();
  ctx.fillStyle = inks.soft;
  ctx.textAlign = "center";
  for (const x of across) if (px(x) > 40 && px(x) < width - 30) ctx.fillText(number(x, 4), px(x), height - 6);
  ctx.textAlign = "left";
  for (const y of up) if (py(y) > 34 && py(y) < height - 34) ctx.fillText(number(y, 4), 6, py(y) - 4);
  ctx.restore();
}

function drawPoints(ctx, { colourOf, lit, inks, frame, home, width, height, picture }, points, part) {
  // a wall is looked at from farther away
  const wall = Math.min(1.6, Math.max(1, Math.min(width, height) / 620));
  const grown = wall * Math.min(2, Math.max(1, zoomOf(frame, home) ** 0.3));
  const usual = (points.n > 1000 ? 0.5 : points.n > 300 ? 0.6 : 0.7) * part * (picture.mode === "compare" ? 0.7 : 1);
  const disc = discs(grown);
  const draw = (which, alpha) => {
    ctx.globalAlpha = alpha;
    for (let i = 0; i < points.n; i++) {
      const [x, y] = [points.x[i], points.y[i]];
      if (!which(points.cluster[i]) || x < -8 || y < -8 || x > width + 8 || y > height + 8) continue;
      disc(ctx, colourOf(points.cluster[i]) ?? inks.soft, x, y, points.size[i]);
    }
  };
  if (lit.size === 0) draw(() => true, usual);
  else {
    draw((c) => !lit.has(c), 0.09);
    draw((c) => lit.has(c), Math.min(1, usual + 0.3));
  }
  ctx.globalAlpha = 1;
}

/** Draws discs; a colour is set only when it is another than before, for parsing it is what costs. */
function discs(grown) {
  let last = null;
  return (ctx, colour, x, y, r) => {
    if (colour !== last) ctx.fillStyle = last = colour;
    ctx.beginPath();
    ctx.arc(x, y, r * grown, 0, 7);
    ctx.fill();
  };
}

function drawHulls(ctx, { picture, frame, home, box, colourOf, lit, inks }) {
  for (const [cluster, corners] of hullsOf(picture.points, home)) {
    const strength = lit.size === 0 ? 1 : lit.has(cluster) ? 1.6 : 0.25;
    ctx.fillStyle = ctx.strokeStyle = colourOf(cluster) ?? inks.soft;
    trace(ctx, smoothOutline(padded(corners.map((at) => toPixels(frame, box, at)), HULL_PAD)));
    ctx.globalAlpha = 0.12 * strength;
    ctx.fill();
    ctx.globalAlpha = Math.min(1, 0.65 * strength);
    ctx.lineWidth = 1.25;
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

/** Corners by cluster in chart units. They are the same at every zoom, and finding them takes longer than a frame. */
function hullsOf(points, { sx, sy }) {
  const known = knownHulls.get(points);
  if (known?.sx === sx && known.sy === sy) return known.hulls;
  const members = new Map();
  for (let i = 0; i < points.n; i++) {
    const places = members.get(points.cluster[i]) ?? members.set(points.cluster[i], []).get(points.cluster[i]);
    places.push([points.x[i] * sx, points.y[i] * sy]);
  }
  const found = [...members].map(([cluster, places]) => [cluster, convexHull(withoutFarthest(places))]);
  const hulls = found.filter(([, hull]) => hull.length > 2).map(([cluster, hull]) => [cluster, hull.map(([x, y]) => [x / sx, y / sy])]);
  knownHulls.set(points, { sx, sy, hulls });
  return hulls;
}

function trace(ctx, curves) {
  ctx.beginPath();
  ctx.moveTo(...curves[0].from);
  for (const { first, second, to } of curves) ctx.bezierCurveTo(...first, ...second, ...to);
  ctx.closePath();
}

function drawDensity(ctx, { colourOf, lit, inks, frame, width, height }, points) {
  const colour = (cluster) => channels(colourOf(cluster) ?? inks.soft);
  const strength = (cluster) => (lit.size === 0 || lit.has(cluster) ? 1 : 0.25);
  // the grid goes along with the chart, or it would shimmer while the chart is dragged
  const [dx, dy] = [-frame.x * frame.sx, frame.y * frame.sy].map((origin) => (origin % CELL) - CELL);
  const moved = { ...points, x: points.x.map((x) => x - dx), y: points.y.map((y) => y - dy) };
  const small = densityPicture(moved, width + 2 * CELL, height + 2 * CELL, colour, strength);
  const canvas = new OffscreenCanvas(small.width, small.height);
  canvas.getContext("2d").putImageData(new ImageData(small.data, small.width, small.height), 0, 0);
  ctx.imageSmoothingEnabled = true;
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(canvas, dx, dy, small.width * CELL, small.height * CELL);
}
