/** Time: the clusters of any window that is held, a walk through time, and two windows side by side. */

import { el, fill, settled } from "./dom.js";
import { count, duration, time as fullTime } from "./format.js";
import { sentence } from "./panel_parts.js";
import { before, createAxis, presets, snapped, walk } from "./time_axis.js";
import { drawComparison } from "./time_compare.js";

const STEP = 500; // ms that each window of a walk is seen
const WAIT = 250;

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 * @returns {{destroy: () => void}}
 */
export function createTime(root, store) {
  let held = null;
  let spans = [];
  let k = null;
  let shown = false; // whether the view follows the window
  let control = null;
  let playing = false;
  let asked = false;
  let pending = null; // a window that came before it was known what is held
  let seen = false;

  const axis = createAxis(setSpan);
  const fields = createFields((span) => setSpan(0, span));
  const kBox = el("input", { class: "field t-k", type: "number", min: 1, max: 1000, id: "t-k", onchange: () => { k = Number(kBox.value) || null; follow(); } });
  const show = el("button", { class: "button primary", type: "button", onclick: () => ask() }, "Show");
  const play = el("button", { class: "button", type: "button", onclick: () => (playing ? stop() : start()) }, "Play");
  const back = el("button", { class: "button", type: "button", hidden: true, onclick: goLive }, "Back to live");
  const other = el("input", { type: "checkbox", id: "t-other", onchange: () => setOther(other.checked) });
  const otherText = el("span", { class: "soft" });
  const quick = el("div", { class: "row t-presets", role: "group", "aria-label": "Windows" });
  const note = el("p", { class: "soft t-note", role: "status" });
  const below = el("div", { class: "t-below" });
  const controls = el("div", { class: "t-controls", hidden: true },
    axis.node, quick, fields.node,
    el("div", { class: "row" }, show, play, back, el("label", { for: "t-k" }, "k"), kBox, el("label", { class: "t-check" }, other, "compare with ", otherText)),
    note, below);
  const empty = el("div");
  fill(root, el("div", { class: "scroll" }, el("div", { class: "panel-body" }, empty, controls)));

  async function load() {
    asked = true;
    // the scene knows; a request that can only be refused would show up as an error
    if (store.get().scene?.can?.windows === false) {
      fill(empty, explanation());
      return;
    }
    if (!held) fill(empty, el("p", { class: "soft" }, "Looking what is held…"));
    try {
      take(await store.api.get("time"));
    } catch (problem) {
      asked = false;
      controls.hidden = held === null;
      if (held) note.textContent = sentence(problem);
      else fill(empty, problem.status === 404 ? explanation() : refusal(problem));
    }
  }

  function refusal(problem) {
    return [el("p", { class: "error", role: "alert" }, sentence(problem)), el("button", { class: "button", type: "button", onclick: load }, "Try again")];
  }

  function take(found) {
    if (!Number.isFinite(found.start) || !(found.end > found.start)) {
      fill(empty, el("p", { class: "empty" }, "No time is held yet: the first bucket is still being filled."));
      asked = false;
      return;
    }
    const first = held === null;
    // a window at the newest end stays there while time goes on
    const newest = !first && !shown && spans[0].to >= held.end - 1e-9;
    held = found;
    if (first) spans = [snapped({ from: found.end - (found.end - found.start) / 4, to: found.end }, held)];
    else spans = spans.map((span, i) => (newest && i === 0 ? snapped({ from: span.from + found.end - span.to, to: found.end }, held) : snapped(span, held)));
    k ??= store.get().scene?.k ?? 8;
    kBox.value = String(k);
    fill(empty);
    offerPresets();
    controls.hidden = false;
    draw();
    if (pending) onRange({ detail: pending });
  }

  function offerPresets() {
    const labels = presets(held).map(({ label }) => label);
    if (labels.join() === [...quick.children].map((node) => node.textContent).join()) return; // one may have the focus
    const choose = (label) => {
      setSpan(0, presets(held).find((one) => one.label === label).span);
      ask();
    };
    fill(quick, labels.map((label) => el("button", { class: "chip", type: "button", onclick: () => choose(label) }, label)));
  }

  function draw() {
    axis.show(held, spans);
    fields.show(spans[0], held);
    back.hidden = !["window", "compare"].includes(store.get().view.mode);
    otherText.textContent = spans[1] ? `${fullTime(spans[1].from, held.dated)} to ${fullTime(spans[1].to, held.dated)}` : "another window";
    play.textContent = playing ? "Pause" : "Play";
    play.disabled = Boolean(spans[1]) || walk(spans[0], held).length < 2;
  }

  function setSpan(which, span) {
    stop();
    spans[which] = span;
    draw();
    follow();
  }

  function setOther(wanted) {
    stop();
    spans = wanted ? [spans[0], before(spans[0], held)] : [spans[0]];
    draw();
    if (shown) ask();
  }

  const follow = settled(WAIT, () => { if (shown) ask(); });

  async function ask() {
    control?.abort();
    const mine = (control = new AbortController());
    const [{ from, to }, second] = spans;
    const params = second ? { from, to, with_from: second.from, with_to: second.to, k } : { from, to, k };
    note.classList.remove("error");
    note.textContent ||= "Looking…";
    const began = performance.now();
    try {
      const data = await store.api.get(second ? "compare" : "window", params, { signal: mine.signal });
      if (mine.signal.aborted) return false;
      shown = true;
      store.set({ view: { mode: second ? "compare" : "window", data } });
      tell(data, second, performance.now() - began);
      return true;
    } catch (problem) {
      if (mine.signal.aborted) return false;
      note.classList.add("error");
      note.textContent = sentence(problem);
      return false;
    }
  }

  function tell(data, compared, took) {
    const parts = compared ? [["Before: ", data.before], ["After: ", data.after]] : [["", data]];
    const said = parts.map(([name, one]) => `${name}${fullTime(one.from, held.dated)} to ${fullTime(one.to, held.dated)}, ${count(one.rows)} rows.`);
    if (parts.some(([, one]) => one.widened)) said.push("Widened to the edges of the buckets that are held.");
    if (parts.some(([, one]) => one.gaps)) said.push("Some of this time is not held.");
    note.textContent = `${said.join(" ")} Found in ${duration(took / 1000)}.`;
    fill(below, compared ? drawComparison(store, data) : null);
  }

  async function start() {
    playing = true;
    const steps = walk(spans[0], held);
    // a window that is anywhere but at the end goes on from there
    const next = steps.findIndex((span) => span.from > spans[0].from + 1e-9);
    for (const span of next > 0 ? steps.slice(next) : steps) {
      if (!playing) break;
      spans[0] = span;
      draw();
      const [ok] = await Promise.all([ask(), new Promise((resolve) => setTimeout(resolve, STEP))]);
      if (!ok) break;
    }
    stop();
  }

  function stop() {
    if (!playing) return;
    playing = false;
    draw();
  }

  function goLive() {
    store.set({ view: { mode: "live" } });
  }

  function onRange({ detail }) {
    if (!Number.isFinite(detail?.from) || !Number.isFinite(detail?.to)) return;
    pending = held ? null : detail;
    if (!held) return;
    setSpan(0, snapped(detail, held));
    ask();
  }

  const watcher = new IntersectionObserver((entries) => {
    seen = entries.some((entry) => entry.isIntersecting);
    if (seen && !asked) load();
  });
  watcher.observe(root);
  document.addEventListener("shoal:range", onRange);
  const offs = [
    // what is held grows with the versions; a part that nobody looks at need not know yet
    store.on(["scene"], () => {
      asked = false;
      if (seen) load();
    }),
    store.on(["view"], ({ view }) => {
      if (["window", "compare"].includes(view.mode)) return void (held && draw());
      shown = false;
      stop();
      control?.abort();
      note.textContent = "";
      fill(below);
      if (held) draw();
    }),
  ];
  return {
    destroy() {
      playing = false;
      control?.abort();
      watcher.disconnect();
      axis.destroy();
      document.removeEventListener("shoal:range", onRange);
      offs.forEach((off) => off());
    },
  };
}

function explanation() {
  return el("div", { class: "empty t-empty" },
    el("p", null, "No time buckets are kept for this model, so only the clusters of now can be shown."),
    el("p", null, "A stream keeps them when it is started with a bucket length:"),
    el("pre", null, el("code", null, "shoal stream … --time COLUMN --bucket 10m")),
    el("p", { class: "soft" }, "Every window from ten minutes to the whole of what is held can then be clustered anew, in well under a second."));
}

/** The two ends as fields: dates in UTC, or plain numbers. */
function createFields(onSpan) {
  const from = el("input", { class: "field t-edge", id: "t-from", onchange: read });
  const to = el("input", { class: "field t-edge", id: "t-to", onchange: read });
  const unit = el("span", { class: "soft" });
  const node = el("div", { class: "row t-fields" }, el("label", { for: "t-from" }, "from"), from, el("label", { for: "t-to" }, "to"), to, unit);
  let held = null;
  let length = 0;

  function read({ target }) {
    const [start, end] = [from, to].map((field) => (held.dated ? Date.parse(`${field.value}Z`) / 1000 : Number(field.value)));
    if (!Number.isFinite(start) || !Number.isFinite(end)) return;
    // an end beyond the other takes the other along
    if (start < end) onSpan(snapped({ from: start, to: end }, held));
    else onSpan(snapped(target === from ? { from: start, to: start + length } : { from: end - length, to: end }, held));
  }

  return {
    node,
    show(span, now) {
      length = span.to - span.from;
      if (now !== held) {
        held = now;
        for (const field of [from, to]) field.type = now.dated ? "datetime-local" : "number";
        for (const field of [from, to]) field.step = now.dated ? (now.bucket % 60 ? 1 : 60) : "any";
        unit.textContent = now.dated ? "UTC" : "rows";
      }
      const text = (t) => (held.dated ? new Date(t * 1000).toISOString().slice(0, held.bucket % 60 ? 19 : 16) : String(t));
      if (document.activeElement !== from) from.value = text(span.from);
      if (document.activeElement !== to) to.value = text(span.to);
    },
  };
}
