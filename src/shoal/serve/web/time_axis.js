/** The axis of what is held in time, and windows on it that can be dragged or moved with the keys. */

import { el, fill, svg } from "./dom.js";
import { count, shortTime, ticks, time as fullTime } from "./format.js";

const HEIGHT = 62;
const SIDE = 8; // room for a handle at either end
const LANES = { top: 6, height: 34 };

/**
 * @typedef {{start: number, end: number, bucket: number, dated: boolean,
 *   levels: {resolution: number, start: number, end: number, buckets: number, rows: number}[]}} Held
 * @typedef {{from: number, to: number}} Span
 */

/** A window on the edges of buckets, inside what is held and at least one bucket long.
 * @param {Span} span
 * @param {Held} held
 * @returns {Span}
 */
export function snapped(span, held) {
  const { start, end } = held;
  const bucket = Math.min(held.bucket || end - start, end - start) || 1;
  // edges are whole multiples of the bucket, as the store has them; the ends of what is held are edges too
  const edge = (t) => Math.min(Math.max(Math.round(t / bucket) * bucket, start), end);
  let [from, to] = [edge(Math.min(span.from, span.to)), edge(Math.max(span.from, span.to))];
  if (to - from < bucket / 2) {
    to = Math.min(from + bucket, end);
    from = Math.max(start, Math.min(from, to - bucket));
  }
  return { from, to };
}

/** A window moved by some time, its length kept; it stops at the ends.
 * @param {Span} span
 * @param {number} by
 * @param {Held} held
 * @returns {Span}
 */
export function moved(span, by, held) {
  const length = span.to - span.from;
  const from = Math.min(Math.max(span.from + by, held.start), Math.max(held.end - length, held.start));
  return snapped({ from, to: from + length }, held);
}

/** The equally long window before one; where there is no room, the one after it.
 * @param {Span} span
 * @param {Held} held
 * @returns {Span}
 */
export function before(span, held) {
  const length = span.to - span.from;
  if (span.from - length >= held.start - 1e-9) return snapped({ from: span.from - length, to: span.from }, held);
  if (span.from > held.start) return snapped({ from: held.start, to: span.from }, held);
  return snapped({ from: span.to, to: span.to + length }, held);
}

/** Windows that are asked for often, as far as they differ.
 * @param {Held} held
 * @returns {{label: string, span: Span}[]}
 */
export function presets(held) {
  const whole = held.end - held.start;
  const last = (length) => snapped({ from: held.end - length, to: held.end }, held);
  const out = [{ label: "last bucket", span: last(held.bucket) }];
  const known = held.dated
    ? [["last hour", 3600], ["last day", 86400], ["last week", 7 * 86400]]
    : [["last tenth", whole / 10], ["last quarter", whole / 4]];
  for (const [label, length] of known) if (length > held.bucket && length < whole) out.push({ label, span: last(length) });
  return [...out, { label: "all", span: { from: held.start, to: held.end } }];
}

/** The windows that a walk through time shows, one after the other.
 * @param {Span} span
 * @param {Held} held
 * @param {number} [most]
 * @returns {Span[]}
 */
export function walk(span, held, most = 60) {
  const length = span.to - span.from;
  const room = held.end - held.start - length;
  if (room <= 0) return [span];
  const step = Math.max(held.bucket, Math.ceil(room / most / held.bucket) * held.bucket);
  const out = [];
  for (let from = held.start; from < held.end - length - 1e-9; from += step) out.push(snapped({ from, to: from + length }, held));
  return [...out, snapped({ from: held.end - length, to: held.end }, held)];
}

/**
 * The picture. Windows are numbered: 0 is the one that is shown, 1 the one it is compared with.
 * @param {(which: number, span: Span) => void} onChange
 * @returns {{node: HTMLElement, show: (held: Held, spans: Span[]) => void, destroy: () => void}}
 */
export function createAxis(onChange) {
  const ground = svg("g");
  const picture = svg("svg", { class: "t-axis", height: HEIGHT, role: "group", "aria-label": "Time that is held" }, ground);
  const node = el("div", { class: "t-frame" }, picture);
  const windows = [windowOn(0), windowOn(1)];
  let held = null;
  let spans = [];
  let width = 0;
  picture.append(windows[1].node, windows[0].node);

  const x = (t) => SIDE + ((t - held.start) / (held.end - held.start || 1)) * (width - 2 * SIDE);
  const timeAt = (px) => held.start + ((px - SIDE) / (width - 2 * SIDE || 1)) * (held.end - held.start);

  function drawGround() {
    if (!held || width < 40) return;
    const levels = [...held.levels].sort((a, b) => a.resolution - b.resolution);
    const lane = LANES.height / Math.max(levels.length, 1);
    const shapes = levels.map((level, i) => {
      const left = x(level.start);
      const strength = 0.55 - (0.4 * i) / Math.max(levels.length - 1, 1);
      return svg(
        "rect",
        { class: "t-level", x: left, y: LANES.top + i * lane, width: Math.max(x(level.end) - left, 1), height: Math.max(lane - 1, 1), "fill-opacity": strength.toFixed(2) },
        svg("title", null, levelText(level, held.dated)),
      );
    });
    const span = held.end - held.start;
    const places = ticks(held.start, held.end, Math.max(2, Math.floor(width / 110)), held.dated);
    const short = places.map((t) => shortTime(t, held.dated, span));
    // rows are numbered on and on: "1.77 G" may be all of them
    const words = new Set(short).size < short.length ? places.map(count) : short;
    const names = places.map((t, i) =>
      svg("g", null, svg("line", { class: "t-tick", x1: x(t), x2: x(t), y1: LANES.top, y2: LANES.top + LANES.height + 4 }),
        svg("text", { x: Math.min(Math.max(x(t), 38), width - 38), y: HEIGHT - 5, "text-anchor": "middle" }, words[i])),
    );
    fill(ground, shapes, names);
  }

  function drawWindows() {
    if (!held) return;
    windows.forEach((one, i) => one.draw(spans[i]));
  }

  function windowOn(which) {
    const name = which === 0 ? "window" : "window to compare with";
    const body = svg("rect", { class: "t-body", y: LANES.top - 3, height: LANES.height + 6, tabindex: 0, role: "slider", "aria-label": `Move the ${name}` });
    const [left, right] = ["Start", "End"].map((end) =>
      svg("g", { class: "t-handle", tabindex: 0, role: "slider", "aria-label": `${end} of the ${name}` },
        svg("rect", { class: "t-reach", x: -8, y: 0, width: 16, height: LANES.height + LANES.top + 6 }),
        svg("rect", { class: "t-grip", x: -2.5, y: LANES.top - 4, width: 5, height: LANES.height + 8, rx: 2.5 })),
    );
    const group = svg("g", { class: which === 0 ? "t-window" : "t-window t-other", visibility: "hidden" }, body, left, right);
    const change = {
      left: (span, t) => snapped({ from: Math.min(t, span.to - held.bucket), to: span.to }, held),
      right: (span, t) => snapped({ from: span.from, to: Math.max(t, span.from + held.bucket) }, held),
    };
    const parts = [
      [body, (span, by) => moved(span, by, held)],
      [left, (span, by) => change.left(span, span.from + by)],
      [right, (span, by) => change.right(span, span.to + by)],
    ];
    for (const [part, shift] of parts) {
      dragged(part, shift, which);
      part.addEventListener("keydown", (event) => {
        const by = keyStep(event, held, spans[which]);
        if (by === null) return;
        event.preventDefault();
        onChange(which, shift(spans[which], by));
      });
    }
    return {
      node: group,
      draw(span) {
        group.setAttribute("visibility", span ? "visible" : "hidden");
        if (!span) return;
        body.setAttribute("x", x(span.from));
        body.setAttribute("width", Math.max(x(span.to) - x(span.from), 1));
        left.setAttribute("transform", `translate(${x(span.from)} 0)`);
        right.setAttribute("transform", `translate(${x(span.to)} 0)`);
        describe(body, span.from, `${fullTime(span.from, held.dated)} to ${fullTime(span.to, held.dated)}`);
        describe(left, span.from, fullTime(span.from, held.dated));
        describe(right, span.to, fullTime(span.to, held.dated));
      },
    };
  }

  function describe(part, now, text) {
    const values = { "aria-valuemin": held.start, "aria-valuemax": held.end, "aria-valuenow": now, "aria-valuetext": text };
    for (const [name, value] of Object.entries(values)) part.setAttribute(name, value);
  }

  function dragged(part, shift, which) {
    let from = null;
    part.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      part.focus();
      part.setPointerCapture(event.pointerId);
      from = { x: event.clientX, span: spans[which] };
    });
    part.addEventListener("pointermove", (event) => {
      if (from) onChange(which, shift(from.span, timeAt(event.clientX - from.x) - timeAt(0)));
    });
    for (const end of ["pointerup", "pointercancel"]) part.addEventListener(end, () => (from = null));
  }

  const sizes = new ResizeObserver(([entry]) => {
    width = Math.round(entry.contentRect.width);
    picture.setAttribute("width", width);
    drawGround();
    drawWindows();
  });
  sizes.observe(node);
  return {
    node,
    show(nextHeld, nextSpans) {
      const fresh = nextHeld !== held;
      [held, spans] = [nextHeld, nextSpans];
      if (fresh) drawGround();
      drawWindows();
    },
    destroy: () => sizes.disconnect(),
  };
}

/** How far a key moves; null for keys that do not. */
function keyStep(event, held, span) {
  const page = Math.max(span.to - span.from, held.bucket);
  const { bucket, start, end } = held;
  const arrows = { ArrowLeft: -bucket, ArrowDown: -bucket, ArrowRight: bucket, ArrowUp: bucket };
  const steps = { ...arrows, PageDown: -page, PageUp: page, Home: start - end, End: end - start };
  const step = steps[event.key];
  return step === undefined ? null : step * (event.shiftKey && event.key.startsWith("Arrow") ? 10 : 1);
}

function levelText(level, dated) {
  const from = `${fullTime(level.start, dated)} to ${fullTime(level.end, dated)}`;
  return `${level.buckets} buckets of ${dated ? `${level.resolution} s` : `${level.resolution} rows`}, ${count(level.rows)} rows, ${from}`;
}
