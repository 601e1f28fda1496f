/** Outliers: the newest rows that lie far from every cluster, and why. */

import { createChip } from "./chip.js";
import { el, fill, keep, kept, svg } from "./dom.js";
import { ago, number, time } from "./format.js";
import { oddness } from "./probe_row.js";

const STEPS = [1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001]; // shares of rows that lie farther out
const QUIET = 5000; // ms between announcements: a screen reader must get to its end
const BINS = 24;
const FEW = 6;

/**
 * The outliers that lie at least so far out.
 * @template {{score: number}} T
 * @param {T[]} outliers
 * @param {number} rate share of the rows that may lie farther out; 1 for all
 * @returns {T[]}
 */
export function beyond(outliers, rate) {
  return rate >= 1 ? outliers : outliers.filter((one) => one.score >= 1 - rate);
}

/**
 * How many fall into each of some equal parts of the time they cover.
 * @param {number[]} times
 * @param {number} bins
 * @returns {number[]} empty if they do not cover any
 */
export function binned(times, bins) {
  const real = times.filter(Number.isFinite);
  const [low, high] = [Math.min(...real), Math.max(...real)];
  if (!(high > low)) return [];
  const counts = new Array(bins).fill(0);
  for (const t of real) counts[Math.min(Math.floor(((t - low) / (high - low)) * bins), bins - 1)]++;
  return counts;
}

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 * @returns {{destroy: () => void}}
 */
export function createOutliers(root, store) {
  const start = Math.min(Math.max(Number(kept("outliers.step", "0")) || 0, 0), STEPS.length - 1);
  const slider = el("input", { type: "range", id: "o-rate", min: 0, max: STEPS.length - 1, step: 1, value: start });
  const said = el("output", { for: "o-rate" });
  const spark = el("span", { class: "o-spark" });
  const list = el("ul", { class: "o-list" });
  const empty = el("p", { class: "empty" });
  const voice = el("p", { class: "sr", "aria-live": "polite" });
  const head = el("div", { class: "panel-head o-head" }, el("label", { for: "o-rate" }, "Show"), slider, said, spark);
  let rows = new Map(); // by key: rows that stay keep their place, focus and selection
  let unsaid = 0;
  let lastSaid = -Infinity;
  let timer = 0;
  let first = true;
  fill(root, head, voice, el("div", { class: "scroll" }, el("div", { class: "panel-body o-panel" }, empty, list)));

  slider.addEventListener("input", () => {
    keep("outliers.step", slider.value);
    draw(store.get());
  });

  function draw({ outliers, scene }) {
    const rate = STEPS[Number(slider.value)];
    const text = rate === 1 ? "all outliers" : `farther out than all but ${number(100 * rate)} %`;
    said.textContent = text;
    slider.setAttribute("aria-valuetext", text);
    const shown = beyond(outliers, rate);
    head.hidden = outliers.length === 0;
    empty.hidden = shown.length > 0;
    empty.textContent = outliers.length ? "None of the newest outliers lies that far out." : explanation(scene);
    const fresh = new Map();
    for (const one of shown) fresh.set(keyOf(one), rows.get(keyOf(one)) ?? item(one));
    const came = [...fresh.keys()].filter((key) => !rows.has(key)).length;
    rows = fresh;
    replace([...fresh.values()].map((row) => row.node));
    for (const { tell } of fresh.values()) tell();
    fill(spark, sparkline(shown, scene));
    if (!first && came) announce(came);
    first = outliers.length === 0 && first;
  }

  /** Moves only what has to move: a row that has the focus would lose it. */
  function replace(nodes) {
    const wanted = new Set(nodes);
    for (const node of [...list.children]) if (!wanted.has(node)) node.remove();
    nodes.forEach((node, i) => {
      if (list.children[i] !== node) list.insertBefore(node, list.children[i] ?? null);
    });
  }

  function announce(came) {
    unsaid += came;
    clearTimeout(timer);
    timer = setTimeout(() => {
      lastSaid = performance.now();
      voice.textContent = unsaid === 1 ? "1 new outlier" : `${unsaid} new outliers`;
      unsaid = 0;
    }, Math.max(0, lastSaid + QUIET - performance.now()));
  }

  function item(one) {
    const when = el("span", { class: "soft" });
    const odd = oddness(one.score);
    const chip = createChip(one.cluster, store);
    const values = one.row ?? {};
    const isText = typeof values.text === "string" && Object.keys(values).length === 1;
    const go = () => store.set({ focusPoint: one.at ? [...one.at] : null, selected: one.cluster });
    const node = el("li", { class: "o-item" },
      el("div", { class: "o-line" },
        el("button", { class: "o-go", type: "button", title: "Show it on the map", onclick: go }, el("b", null, "×"), " ", when),
        chip.node,
        el("span", { class: "o-score", title: odd.text }, scoreText(one.score)),
        el("button", { class: "button small", type: "button", onclick: () => tryIt(isText ? { text: values.text } : { row: values }) }, "Try it")),
      one.reason ? el("p", { class: "o-reason" }, one.reason) : null,
      isText ? el("p", { class: "o-text soft" }, values.text) : rowValues(values));
    node.addEventListener("click", (event) => {
      // the words of a row may be copied without flying over the map
      if (!event.target.closest("button, summary") && !String(getSelection())) go();
    });
    return {
      node,
      /** Time goes on, and clusters get names. */
      tell() {
        const { scene } = store.get();
        chip.refresh();
        when.textContent = Number.isFinite(one.time) ? ago(one.time, scene?.now, scene?.dated ?? false) : clock(one.seen);
        when.title = Number.isFinite(one.time) ? time(one.time, scene?.dated ?? false) : (one.seen ?? "");
      },
    };
  }

  const off = store.on(["outliers", "scene"], draw);
  draw(store.get());
  return {
    destroy() {
      clearTimeout(timer);
      off();
    },
  };
}

function tryIt(detail) {
  document.dispatchEvent(new CustomEvent("shoal:probe", { detail }));
}

function keyOf(one) {
  return JSON.stringify([one.seen, one.time, one.cluster, one.score, one.distance]);
}

function explanation(scene) {
  const what = scene?.texts ? "Texts that lie far from every topic" : "Rows that lie far from every cluster";
  return `${what} show up here: those farther out than all but 1 % of what was learned from, from the stream and from what is sent to be labelled.`;
}

/** 0.9993 as "99.93 %": nines are what tells outliers apart. */
function scoreText(score) {
  if (!Number.isFinite(score)) return "–";
  const cent = Math.floor(score * 1e4) / 100;
  return `${cent.toFixed(cent >= 99 ? 2 : 1)} %`;
}

function clock(seen) {
  const when = new Date(seen);
  return Number.isNaN(when.getTime()) ? "" : `${when.toISOString().slice(11, 19)} UTC`;
}

function rowValues(values) {
  const pairs = Object.entries(values);
  const text = (value) => (typeof value === "number" ? number(value, 4) : String(value ?? "–"));
  const shown = ([name, value]) => el("span", { class: "o-value" }, el("span", { class: "soft" }, name), " ", text(value));
  if (!pairs.length) return null;
  if (pairs.length <= FEW) return el("p", { class: "o-values" }, pairs.map(shown));
  return el("details", { class: "o-more" },
    el("summary", { class: "o-values" }, pairs.slice(0, FEW).map(shown), el("span", { class: "soft" }, ` and ${pairs.length - FEW} more`)),
    el("p", { class: "o-values" }, pairs.slice(FEW).map(shown)));
}

function sparkline(shown, scene) {
  const counts = binned(shown.map((one) => one.time ?? Date.parse(one.seen) / 1000), BINS);
  if (!counts.length) return null;
  const most = Math.max(...counts);
  const bars = counts.map((n, i) => (n ? svg("rect", { x: i * 4, width: 3, y: 18 - (16 * n) / most, height: (16 * n) / most }) : null));
  const times = shown.map((one) => one.time).filter(Number.isFinite);
  const since = times.length ? `, since ${time(Math.min(...times), scene?.dated ?? false)}` : "";
  const [width, height] = [BINS * 4, 18];
  const label = `${shown.length} outliers over time${since}`;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, svg("title", null, label), bars);
}
