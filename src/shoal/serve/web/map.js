/** The map of the model: rows, clusters and what arrives, to be looked at from near and far. */

import { el } from "./dom.js";
import { createControls } from "./map_controls.js";
import { hitAt } from "./map_hit.js";
import { onTheme } from "./map_inks.js";
import { listenTo } from "./map_input.js";
import { parents } from "./map_motion.js";
import { createPainter } from "./map_painter.js";
import { pictureOf, said } from "./map_picture.js";
import { dragged, kept, zoomedAt } from "./map_scale.js";
import { createTip, sentence } from "./map_tip.js";

const HINT = "Arrow keys go through the clusters by size, Enter selects, Escape clears; plus, minus and 0 zoom, Shift with arrows moves the map.";

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 * @returns {{destroy: () => void}}
 */
export function createMap(root, store) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const area = root.appendChild(el("div", { class: "map" }));
  const painter = createPainter(area, () => calm.matches);
  const controls = createControls(area, { shape: (shape) => painter.set({ shape }, "fade"), zoom: (factor) => zoom(null, factor, true), reset });
  const tip = createTip(area);
  const hint = area.appendChild(el("p", { class: "map-unseen", id: "map-hint" }, HINT));
  const live = area.appendChild(el("p", { class: "map-unseen", "aria-live": "polite" }));
  const { surface } = painter;
  surface.setAttribute("aria-describedby", hint.id);
  painter.set({ shape: controls.shape() });

  let focused = null;
  let hovers = false;
  let pointer = null;

  function zoom(pixels, factor, slowly) {
    const { picture, frame, home, box } = painter.now();
    if (!picture) return;
    const middle = [box.left + box.width / 2, box.top + box.height / 2];
    painter.look(kept(zoomedAt(frame, home, box, pixels ?? middle, factor), picture.chart, frame), slowly);
    tip.hide();
  }

  function reset() {
    const { picture, home } = painter.now();
    if (picture) painter.look(home, true);
  }

  function drag(dx, dy) {
    const { picture, frame } = painter.now();
    if (picture) painter.look(kept(dragged(frame, dx, dy), picture.chart, frame), false);
  }

  /** Moves the map only if the place is outside or close to the edge. */
  function bring(at) {
    const { frame, put, width, height } = painter.now();
    const [x, y] = put(at);
    const isIn = x > width * 0.12 && x < width * 0.88 && y > height * 0.12 && y < height * 0.88;
    if (!isIn) painter.look({ ...frame, x: at[0], y: at[1] }, true);
  }

  function point(pixels) {
    pointer = pixels;
    const now = painter.now();
    const hit = pixels && now.picture ? hitAt(now, pixels) : null;
    surface.classList.toggle("on-thing", hit !== null);
    const cluster = hit && now.picture.clusters.get(hit.cluster);
    if (cluster) tip.show(hit, cluster, painter.colourOf(hit.cluster));
    else tip.hide();
    hover(hit?.cluster ?? null);
    return hit;
  }

  function hover(id) {
    // what another part lights must stay lit when the pointer passes over an empty place
    if (id === null && !hovers) return;
    hovers = id !== null;
    store.set({ hovered: id });
  }

  function press(pixels) {
    surface.focus({ preventScroll: true });
    const hit = point(pixels);
    store.set({ selected: hit?.cluster ?? null });
  }

  function step(by) {
    const { picture } = painter.now();
    const k = picture?.marks.length ?? 0;
    if (k === 0) return;
    const here = picture.marks.findIndex((mark) => mark.id === (focused ?? store.get().selected));
    const next = by === "first" ? 0 : by === "last" ? k - 1 : here < 0 ? (by > 0 ? 0 : k - 1) : (here + by + k) % k;
    const mark = picture.marks[next];
    focused = mark.id;
    bring(mark.at);
    hover(focused);
    painter.set({ focused }, "labels");
    live.textContent = sentence(picture.clusters.get(focused), next + 1, k);
    const { width, height, put } = painter.now();
    const at = put(mark.at);
    if (at[0] > 0 && at[1] > 0 && at[0] < width && at[1] < height) {
      tip.show({ kind: "mark", cluster: focused, pixels: at }, picture.clusters.get(focused), painter.colourOf(focused));
    } else tip.hide();
  }

  function unfocus() {
    focused = null;
    tip.hide();
    hover(null);
    painter.set({ focused }, "labels");
  }

  function choose() {
    if (focused === null) return;
    store.set({ selected: focused });
    live.textContent = `${painter.now().picture?.clusters.get(focused)?.label ?? focused} selected`;
  }

  function clear() {
    unfocus();
    store.set({ selected: null });
  }

  listenTo(surface, { zoom, reset, drag, point, press, step, choose, clear });
  surface.addEventListener("blur", unfocus);

  function draw() {
    const state = store.get();
    const picture = pictureOf(state);
    surface.setAttribute("aria-label", said(picture));
    if (picture) controls.describe(picture);
    painter.set({ taken: controls.taken() });
    painter.show(picture, parents(state.events ?? []));
    // what the pointer rests on may be another thing now
    if (pointer) point(pointer);
    light();
  }

  function light() {
    const { selected, hovered } = store.get();
    const known = painter.now().picture?.clusters;
    const lit = new Set([selected, hovered].filter((id) => id !== null && id !== undefined && known?.has(id)));
    const before = painter.now().on;
    const same = lit.size === before.lit.size && [...lit].every((id) => before.lit.has(id));
    if (same) painter.set({ selected });
    else painter.set({ selected, lit }, "fade");
  }

  function arrive() {
    const { recent, outliers } = store.get();
    painter.set({ recent: recent ?? [], outliers: outliers ?? [] });
  }

  function tried() {
    const { probe } = store.get();
    painter.set({ probe: probe ?? null });
    if (probe?.at && painter.now().picture) bring(probe.at);
  }

  function lookAt() {
    const { focusPoint } = store.get();
    if (!focusPoint || !painter.now().picture) return;
    bring(focusPoint);
    painter.ping(focusPoint);
  }

  function resize() {
    painter.set({ taken: controls.taken() });
    painter.resize();
  }

  const sizes = new ResizeObserver(resize);
  sizes.observe(area);
  const ends = [
    onTheme(painter.retheme),
    store.on(["scene", "view"], draw),
    store.on(["selected", "hovered"], light),
    store.on(["recent", "outliers"], arrive),
    store.on(["probe"], tried),
    store.on(["focusPoint"], lookAt),
  ];
  draw();
  arrive();
  tried();
  return {
    destroy() {
      for (const end of ends) end();
      sizes.disconnect();
      painter.destroy();
      area.remove();
    },
  };
}
