/** Shares of the clusters over time, as bands; a range of it can be dragged out. */

import { clusterOf } from "./colours.js";
import { el, fill, keep, kept, svg } from "./dom.js";
import { share, time } from "./format.js";
import { bandAt, placeOf } from "./lineage_geometry.js";
import { draw } from "./lineage_picture.js";

const CLICK = 4; // pixels a hand may tremble in a click

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 */
export function createLineage(root, store) {
  const picture = svg("svg", { class: "bands", role: "application", tabindex: 0, "aria-label": "Shares of the clusters over time" });
  const brush = el("div", { class: "brush", hidden: true });
  const cursor = el("div", { class: "cursor", hidden: true });
  const tip = el("div", { class: "tip", hidden: true });
  const said = el("p", { class: "sr", "aria-live": "polite" });
  const frame = el("div", { class: "frame" }, picture, brush, cursor, tip, said);
  const empty = el("p", { class: "empty" });
  const fold = el("button", { class: "button icon quiet", type: "button", "aria-controls": "lineage-body", onclick: toggle }, "▾");
  const body = el("div", { id: "lineage-body", class: "lineage-body" }, frame, empty);
  const legend = el("span", { class: "soft key" }, "○ born  ✕ died  — split or merged; drag to look at a stretch of time");
  fill(root, el("div", { class: "panel-head" }, el("h2", null, "Shares over time"), legend, fold), body);
  let drawn = null;
  let pressed = null;
  let focus = null; // [place in time, band] that the keyboard is at

  function toggle() {
    keep("lineage.folded", kept("lineage.folded") ? null : "1");
    refold();
    update();
  }

  function refold() {
    const isFolded = kept("lineage.folded") !== null;
    body.hidden = isFolded;
    fold.textContent = isFolded ? "▸" : "▾";
    fold.setAttribute("aria-expanded", String(!isFolded));
    fold.setAttribute("aria-label", isFolded ? "Show shares over time" : "Fold shares over time");
  }

  function update() {
    const state = store.get();
    const { history } = state;
    const can = history !== null && history.times.at(-1) > history.times[0] && history.ids.length > 0;
    frame.hidden = !can;
    // where bands are to come, their room is kept: the map must not shrink under the hand of whoever looks at it
    empty.classList.toggle("tall", ["stream", "store"].includes(state.scene?.kind));
    empty.hidden = can;
    empty.textContent = history === null ? "" : "From the second moment on, each cluster has a band here as wide as its share of the rows.";
    drawn = null;
    if (!can || body.hidden) return;
    const { width, height } = frame.getBoundingClientRect();
    if (width < 40 || height < 40) return;
    drawn = draw(picture, state, width, height);
    const [from, to] = [history.times[0], history.times.at(-1)].map((t) => time(t, history.dated));
    picture.setAttribute("aria-label", `Shares of ${history.ids.length} clusters from ${from} to ${to}. Arrow keys look around, Enter selects.`);
    mark();
  }

  function mark() {
    const { selected, hovered } = store.get();
    if (!drawn) return;
    const lit = selected ?? hovered;
    for (const [id, area] of drawn.areas) {
      area.classList.toggle("lit", id !== null && (id === selected || id === hovered));
      area.classList.toggle("dim", lit !== null && drawn.areas.has(lit) && id !== selected && id !== hovered);
    }
  }

  function at(event) {
    const box = frame.getBoundingClientRect();
    const x = Math.min(Math.max(event.clientX - box.left, 0), box.width);
    const { times } = store.get().history;
    let i = placeOf(times, drawn.timeAt(x));
    if (i + 1 < times.length && drawn.x(times[i + 1]) - x < x - drawn.x(times[i])) i++;
    return { x, y: event.clientY - box.top, i };
  }

  function look(i, band, y) {
    const { history } = store.get();
    const x = drawn.x(history.times[i]);
    cursor.hidden = tip.hidden = false;
    cursor.style.left = `${x}px`;
    const { width } = frame.getBoundingClientRect();
    tip.style.left = x < width / 2 ? `${x + 12}px` : "auto";
    tip.style.right = x < width / 2 ? "auto" : `${width - x + 12}px`;
    tip.style.top = `${Math.min(Math.max(y - 20, 0), drawn.bottom - 44)}px`;
    const name = band === null ? "" : band.id === null ? "all smaller clusters" : clusterOf(store.get(), band.id).label;
    fill(tip, band && el("b", null, name), band && el("span", null, share(band.high[i] - band.low[i])), el("span", null, time(history.times[i], history.dated)));
    store.set({ hovered: band?.id ?? null });
  }

  function leave() {
    cursor.hidden = tip.hidden = true;
    store.set({ hovered: null });
  }

  function press(event) {
    if (!drawn || event.button !== 0) return;
    pressed = at(event);
    picture.setPointerCapture(event.pointerId);
  }

  function move(event) {
    if (!drawn) return;
    const here = at(event);
    if (pressed && Math.abs(here.x - pressed.x) > CLICK) {
      brush.hidden = false;
      brush.style.left = `${Math.min(here.x, pressed.x)}px`;
      brush.style.width = `${Math.abs(here.x - pressed.x)}px`;
    }
    look(here.i, bandAt(drawn.bands, here.i, drawn.shareAt(here.y)), here.y);
  }

  function release(event) {
    if (!drawn || !pressed) return;
    const here = at(event);
    const from = pressed;
    pressed = null;
    if (Math.abs(here.x - from.x) > CLICK) {
      const [a, b] = [from.x, here.x].sort((p, q) => p - q).map(drawn.timeAt);
      document.dispatchEvent(new CustomEvent("shoal:range", { detail: { from: a, to: b } }));
      return;
    }
    brush.hidden = true;
    const band = bandAt(drawn.bands, here.i, drawn.shareAt(here.y));
    if (band && band.id !== null && !clusterOf(store.get(), band.id).isGone) store.set({ selected: store.get().selected === band.id ? null : band.id });
  }

  function key(event) {
    if (!drawn) return;
    const { times } = store.get().history;
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (step) {
      focus ??= [times.length - 1, 0];
      focus = [clamp(focus[0] + step[0], times.length), clamp(focus[1] + step[1], drawn.bands.length)];
      const band = drawn.bands[focus[1]];
      look(focus[0], band, drawn.bottom * (1 - (band.low[focus[0]] + band.high[focus[0]]) / 2));
      said.textContent = tip.innerText.replaceAll("\n", ", ");
    } else if (event.key === "Enter" && focus) {
      const { id } = drawn.bands[focus[1]] ?? { id: null };
      if (id !== null) store.set({ selected: id });
    } else return;
    event.preventDefault();
  }

  picture.addEventListener("pointerdown", press);
  picture.addEventListener("pointermove", move);
  picture.addEventListener("pointerup", release);
  picture.addEventListener("pointercancel", () => { pressed = null; brush.hidden = true; });
  picture.addEventListener("pointerleave", () => !pressed && leave());
  picture.addEventListener("keydown", key);
  picture.addEventListener("blur", leave);
  const sized = new ResizeObserver(update);
  sized.observe(frame);
  const offs = [
    store.on(["history", "scene", "events"], update),
    store.on(["selected"], () => drawn?.areas.has(store.get().selected) || store.get().selected === null ? mark() : update()),
    store.on(["hovered"], mark),
    store.on(["view"], () => { if (store.get().view.mode === "live") brush.hidden = true; }),
  ];
  refold();
  update();
  return { destroy: () => { sized.disconnect(); offs.forEach((off) => off()); } };
}

function clamp(i, length) {
  return Math.min(Math.max(i, 0), length - 1);
}
