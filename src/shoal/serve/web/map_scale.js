/** Between chart units and pixels: what part of the chart is seen, and how zooming changes it. No DOM. */

/**
 * @typedef {{left: number, top: number, width: number, height: number}} Box  in pixels
 * @typedef {{x: number, y: number, sx: number, sy: number}} Frame  chart place in the middle of the box, and
 *   pixels per unit on both axes
 * @typedef {{low: [number, number], high: [number, number], aspect?: number | null}} Chart
 */

const NEAREST = 80;
const FARTHEST = 0.6;

/** The frame that shows the whole chart.
 * @param {Chart} chart
 * @param {Box} box
 * @returns {Frame}
 */
export function homeFrame(chart, box) {
  const [wide, high] = [0, 1].map((axis) => spread(chart.low[axis], chart.high[axis]));
  let sx = Math.max(box.width, 1) / wide;
  let sy = Math.max(box.height, 1) / high;
  if (chart.aspect) {
    sx = Math.min(sx, sy / chart.aspect);
    sy = sx * chart.aspect;
  }
  return { x: (chart.low[0] + chart.high[0]) / 2, y: (chart.low[1] + chart.high[1]) / 2, sx, sy };
}

/** @param {Frame} frame @param {Box} box @param {[number, number]} at chart units @returns {[number, number]} pixels */
export function toPixels(frame, box, [x, y]) {
  return [box.left + box.width / 2 + (x - frame.x) * frame.sx, box.top + box.height / 2 - (y - frame.y) * frame.sy];
}

/** @param {Frame} frame @param {Box} box @param {[number, number]} pixels @returns {[number, number]} chart units */
export function toChart(frame, box, [px, py]) {
  return [frame.x + (px - box.left - box.width / 2) / frame.sx, frame.y - (py - box.top - box.height / 2) / frame.sy];
}

/** How many times larger than at home.
 * @param {Frame} frame
 * @param {Frame} home
 */
export function zoomOf(frame, home) {
  return frame.sx / home.sx;
}

/** The frame after zooming; the chart place under `pixels` stays there.
 * @param {Frame} frame
 * @param {Frame} home
 * @param {Box} box
 * @param {[number, number]} pixels
 * @param {number} factor
 * @returns {Frame}
 */
export function zoomedAt(frame, home, box, pixels, factor) {
  const zoom = Math.min(NEAREST, Math.max(FARTHEST, zoomOf(frame, home) * factor));
  const [x, y] = toChart(frame, box, pixels);
  const next = { x: 0, y: 0, sx: home.sx * zoom, sy: home.sy * zoom };
  next.x = x - (pixels[0] - box.left - box.width / 2) / next.sx;
  next.y = y + (pixels[1] - box.top - box.height / 2) / next.sy;
  return next;
}

/** The frame after dragging the chart by so many pixels.
 * @param {Frame} frame
 * @param {number} dx
 * @param {number} dy
 * @returns {Frame}
 */
export function dragged(frame, dx, dy) {
  return { ...frame, x: frame.x - dx / frame.sx, y: frame.y + dy / frame.sy };
}

/** The frame with its middle kept over the chart, so that nobody gets lost beside it.
 * @param {Frame} frame
 * @param {Chart} chart
 * @param {Frame} before one that was beside the chart may stay there
 * @returns {Frame}
 */
export function kept(frame, chart, before) {
  const within = (value, axis, old) => Math.min(Math.max(chart.high[axis], old), Math.max(Math.min(chart.low[axis], old), value));
  return { ...frame, x: within(frame.x, 0, before.x), y: within(frame.y, 1, before.y) };
}

/** The same view in a box or with limits that have changed: the zoom relative to home is what stays.
 * @param {Frame} frame
 * @param {Frame} before home then
 * @param {Frame} after home now
 * @returns {Frame}
 */
export function rehomed(frame, before, after) {
  if (isSame(frame, before)) return after;
  return { x: frame.x, y: frame.y, sx: (frame.sx / before.sx) * after.sx, sy: (frame.sy / before.sy) * after.sy };
}

/** Part of the way from one frame to another. What is seen changes evenly (not the zoom), so that the place that both
 * frames show at the same pixel never moves.
 * @param {Frame} from
 * @param {Frame} to
 * @param {number} t 0..1
 * @returns {Frame}
 */
export function between(from, to, t) {
  if (t >= 1) return to;
  const mix = (a, b) => a + (b - a) * t;
  return {
    x: mix(from.x, to.x),
    y: mix(from.y, to.y),
    sx: 1 / mix(1 / from.sx, 1 / to.sx),
    sy: 1 / mix(1 / from.sy, 1 / to.sy),
  };
}

/** @param {Frame} a @param {Frame} b */
export function isSame(a, b) {
  return ["x", "y", "sx", "sy"].every((key) => Math.abs(a[key] - b[key]) <= 1e-9 * Math.max(1e-12, Math.abs(b[key])));
}

/** Slow at both ends.
 * @param {number} t 0..1
 */
export function eased(t) {
  const u = Math.min(1, Math.max(0, t));
  return u * u * (3 - 2 * u);
}

function spread(low, high) {
  // one value only still needs a width to be drawn in
  return high > low ? high - low : Math.max(1, Math.abs(low)) * 0.1;
}
