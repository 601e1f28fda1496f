/** The two canvases of the map: what is beneath changes seldom and is kept as a picture, what is on top moves. */

import { el } from "./dom.js";
import { createClock } from "./map_clock.js";
import { drawAxes, drawLayer, inPixels } from "./map_layers.js";
import { placeLabels, short } from "./map_labels.js";
import { FADE_MS, PING_MS, drawBefore, drawLabels, drawMarks, drawOutliers, drawPing, drawProbe, drawRecent, fitsInside } from "./map_marks.js";
import { marksAt, planMoves } from "./map_motion.js";
import { isNumberOnly, numberOf, titleOf } from "./map_picture.js";
import { between, eased, homeFrame, isSame, rehomed, toPixels } from "./map_scale.js";
import { readInks, shownColours } from "./map_inks.js";

const GLIDE_MS = 400;
const FADE_LAYER_MS = 220;
const LABEL_AREA = 11000;

/**
 * @param {HTMLElement} root
 * @param {() => boolean} isCalm  no motion is wanted
 */
export function createPainter(root, isCalm) {
  const base = root.appendChild(el("canvas", { "aria-hidden": "true" }));
  const top = root.appendChild(el("canvas", { class: "map-top", tabindex: 0, role: "application" }));
  const [below, above] = [base.getContext("2d"), top.getContext("2d")];
  const layer = new OffscreenCanvas(1, 1);
  const old = new OffscreenCanvas(1, 1);
  const clock = createClock();
  const on = { shape: "points", lit: new Set(), selected: null, focused: null, recent: [], outliers: [], probe: null, ping: null, taken: [] };
  const size = { width: 0, height: 0, ratio: 1 };
  let inks = readInks(root);
  let picture = null;
  let colours = new Map();
  let moves = [];
  let marks = [];
  let box = boxOf(size, null);
  let home = null;
  let frame = null;
  let way = null;
  let oldFrame = null;
  let labels = new Map();
  let stale = true;
  let isFading = false;
  const widths = new Map();

  const ms = (wanted) => (isCalm() ? 0 : wanted);
  const put = (at) => toPixels(frame, box, at);
  const colourOf = (id) => colours.get(id);
  const all = () => ({ left: 4, top: 4, width: size.width - 8, height: size.height - 8 });
  const stage = () => ({ ctx: above, inks, box: all(), put, colourOf, lit: on.lit });
  const scenery = () => ({ picture, frame, home, box, inks, colourOf, lit: on.lit, shape: on.shape, ...size });

  /** Keeps what is seen, to fade from it; with the markers, if these are not going to glide. */
  function snapshot(withMarks, wanted) {
    if (!picture || !frame || size.width === 0) return;
    oldFrame = withMarks ? null : frame;
    const ctx = old.getContext("2d");
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, old.width, old.height);
    ctx.drawImage(layer, 0, 0);
    if (withMarks) ctx.drawImage(top, 0, 0);
    clock.start("fade", ms(wanted));
  }

  function show(next, parentOf) {
    const other = next === null || picture === null || next.place !== picture.place;
    snapshot(other, FADE_LAYER_MS);
    const before = home;
    const hadFrame = frame;
    marks = marksAt(moves, eased(clock.part("glide")));
    moves = planMoves(other ? [] : marks, next?.marks ?? [], parentOf);
    if (other) for (const move of moves) move.from = { ...move.mark, alpha: 0 };
    picture = next;
    stale = true;
    clock.start("glide", ms(GLIDE_MS));
    if (picture === null) return;
    colours = shownColours(picture.clusters, inks);
    box = boxOf(size, picture);
    home = homeFrame(picture.chart, box);
    if (other || !hadFrame) look(home, false);
    else if (!isSame(before, home)) look(rehomed(hadFrame, before, home), true);
  }

  /** @param {import("./map_scale.js").Frame} next @param {boolean} slowly */
  function look(next, slowly) {
    stale = true;
    if (slowly && frame && ms(GLIDE_MS) > 0) {
      way = { from: frame, to: next };
      clock.start("frame", GLIDE_MS);
    } else {
      way = null;
      frame = next;
      clock.stop("frame");
      clock.wake();
    }
  }

  function resize() {
    const [width, height, ratio] = [root.clientWidth, root.clientHeight, globalThis.devicePixelRatio || 1];
    if (width === size.width && height === size.height && ratio === size.ratio) return;
    Object.assign(size, { width, height, ratio });
    for (const canvas of [base, top, layer, old]) {
      canvas.width = Math.max(1, Math.round(width * ratio));
      canvas.height = Math.max(1, Math.round(height * ratio));
    }
    clock.stop("fade");
    inks = readInks(root);
    widths.clear();
    stale = true;
    box = boxOf(size, picture);
    if (picture && width > 0) {
      const before = home;
      home = homeFrame(picture.chart, box);
      look(frame && before ? rehomed(way?.to ?? frame, before, home) : home, false);
    }
    // a canvas that was given a new size is empty: waiting for the next frame would let it flicker
    paint();
    clock.wake();
  }

  function paint() {
    if (size.width === 0) return false;
    for (const ctx of [below, above]) {
      ctx.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    }
    if (picture === null) {
      below.clearRect(0, 0, size.width, size.height);
      above.clearRect(0, 0, size.width, size.height);
      return false;
    }
    if (way) {
      frame = between(way.from, way.to, eased(clock.part("frame")));
      stale = true;
      if (clock.part("frame") >= 1) way = null;
    }
    marks = marksAt(moves, eased(clock.part("glide")));
    const fade = eased(clock.part("fade"));
    if (stale) {
      drawStale();
      labels = layOut();
    }
    if (stale || isFading) compose(fade);
    isFading = fade < 1;
    stale = false;
    return paintTop();
  }
  function drawStale() {
    const ctx = layer.getContext("2d");
    ctx.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    ctx.clearRect(0, 0, size.width, size.height);
    drawLayer(ctx, scenery());
  }

  function compose(fade) {
    below.clearRect(0, 0, size.width, size.height);
    drawAxes(below, scenery());
    if (fade < 1) {
      below.globalAlpha = 1 - fade;
      const [left, up, wide, high] = oldFrame ? movedBox() : [0, 0, size.width, size.height];
      below.drawImage(old, left, up, wide, high);
    }
    below.globalAlpha = fade;
    below.drawImage(layer, 0, 0, size.width, size.height);
    below.globalAlpha = 1;
  }

  /** Where the picture of the old frame lies in the one of now. */
  function movedBox() {
    const [growX, growY] = [frame.sx / oldFrame.sx, frame.sy / oldFrame.sy];
    const [midX, midY] = [box.left + box.width / 2, box.top + box.height / 2];
    const left = midX + (oldFrame.x - frame.x) * frame.sx - midX * growX;
    const up = midY - (oldFrame.y - frame.y) * frame.sy - midY * growY;
    return [left, up, size.width * growX, size.height * growY];
  }

  function layOut() {
    above.font = inks.label;
    const wanted = moves.filter((move) => !move.leaving).map(({ mark }) => {
      const [x, y] = put(mark.at);
      const text = textOf(mark);
      // beyond the ring of the one that is selected
      const room = mark.id === on.focused ? 8 : mark.id === on.selected ? 4 : 0;
      return { id: mark.id, x, y, r: mark.r + room, room, mark, text, width: widthOf(text), must: on.lit.has(mark.id) || mark.id === on.focused };
    });
    const inView = wanted.filter((m) => m.x > -m.r && m.y > -m.r && m.x < size.width + m.r && m.y < size.height + m.r);
    const bounds = { left: 2, top: 2, right: size.width - 2, bottom: size.height - 2 };
    const most = Math.max(8, Math.floor((size.width * size.height) / LABEL_AREA));
    const placed = placeLabels(inView, bounds, { taken: on.taken, most, before: labels });
    return new Map(inView.filter((m) => placed.has(m.id)).map((m) => [m.id, { ...m, ...placed.get(m.id) }]));
  }

  function textOf(mark) {
    const cluster = picture.clusters.get(mark.id);
    const plain = !cluster || (isNumberOnly(cluster) && !cluster.keywords?.length);
    if (plain) return !cluster || fitsInside(mark.r, numberOf(cluster)) ? "" : numberOf(cluster);
    return short(titleOf(cluster));
  }

  function widthOf(text) {
    if (!widths.has(text)) {
      if (widths.size > 5000) widths.clear();
      widths.set(text, text === "" ? 0 : above.measureText(text).width);
    }
    return widths.get(text);
  }

  function paintTop() {
    above.clearRect(0, 0, size.width, size.height);
    const now = clock.now();
    const byId = new Map(marks.map((mark) => [mark.id, mark]));
    if (picture.mode === "compare") drawBefore(stage(), picture.ghosts, byId);
    if (picture.mode === "live") drawRecent(stage(), on.recent, now, isCalm());
    const births = new Map(on.recent.filter((p) => p.outlier).map((p) => [p.outlier, p.born]));
    const fresh = (outlier) => (births.has(outlier) && !isCalm() ? Math.max(0, 1 - (now - births.get(outlier)) / PING_MS) : 0);
    if (picture.mode === "live") drawOutliers(stage(), on.outliers, fresh);
    drawMarks(stage(), marks, picture.clusters, on, picture.mode === "compare");
    if (on.probe?.at) drawProbe(stage(), on.probe, byId);
    drawLabels(stage(), [...labels.values()].map((label) => ({ ...label, mark: byId.get(label.id) ?? label.mark })));
    if (on.ping && clock.part("ping") < 1) drawPing(stage(), on.ping, 1 - clock.part("ping"));
    const newest = on.recent[0]?.born ?? -Infinity;
    if (now - newest < PING_MS && !isCalm()) clock.wake();
    return picture.mode === "live" && now - newest < FADE_MS;
  }

  clock.onFrame(paint);
  return {
    surface: top,
    show,
    look,
    resize,
    /** @param {object} patch of what is on the map @param {"" | "labels" | "fade"} [how] what else has to be drawn anew */
    set(patch, how = "") {
      if (how === "fade") snapshot(false, 120);
      Object.assign(on, patch);
      stale ||= how !== "";
      clock.wake();
    },
    /** @param {[number, number]} at */
    ping(at) {
      on.ping = at;
      clock.start("ping", 1200);
    },
    retheme() {
      inks = readInks(root);
      colours = picture ? shownColours(picture.clusters, inks) : colours;
      widths.clear();
      stale = true;
      clock.wake();
    },
    /** What is there now, for whoever looks for the thing under the pointer. */
    now: () => ({ picture, marks, frame: way?.to ?? frame, home, box, put, on, ...size, points: () => inPixels(scenery()) }),
    colourOf: (id) => colours.get(id) ?? inks.soft,
    destroy() {
      clock.end();
      base.remove();
      top.remove();
    },
  };
}

function boxOf({ width, height }, picture) {
  const plain = picture?.chart.kind === "landmarks";
  const [left, right, up, down] = plain ? [28, 28, 44, 34] : [34, 34, 44, 48];
  return { left, top: up, width: Math.max(40, width - left - right), height: Math.max(40, height - up - down) };
}
