/** Which k: the criteria over the number of clusters, and the model solved anew for any of them. */

import { el, fill, settled } from "./dom.js";
import { duration, number, share } from "./format.js";
import { sentence } from "./panel_parts.js";
import { drawCurve } from "./which_k_chart.js";

const WAIT = 120; // a slider that is dragged should not ask at every pixel
const KEPT = 64;

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 * @returns {{destroy: () => void}}
 */
export function createWhichK(root, store) {
  const verdict = el("div", { class: "k-verdict" });
  const charts = el("div", { class: "k-charts" });
  const solving = createSolving(store, (k) => marks.forEach((mark) => mark(k)));
  let marks = [];
  let seen = false;
  let asked = 0;
  let foundFor = null; // model and version of what is shown
  fill(root, el("div", { class: "scroll" }, el("div", { class: "panel-body" }, verdict, solving.node, charts)));

  const wanted = () => {
    const { model, scene } = store.get();
    return scene ? `${model} ${scene.version}` : null;
  };

  function unable() {
    const { scene } = store.get();
    if (!scene) return "There is no version of this model yet.";
    if (scene.can && !scene.can.solve) {
      return "No other k can be tried: the summary from which the clusters were found does not lie beside this model.";
    }
    return null;
  }

  async function find() {
    const reason = unable();
    const turn = ++asked;
    fill(charts);
    marks = [];
    if (reason) {
      foundFor = null;
      solving.offer(null);
      fill(verdict, el("p", { class: "empty" }, reason));
      return;
    }
    const about = wanted();
    foundFor = about;
    const busy = "Comparing numbers of clusters…";
    fill(verdict, el("p", { class: "soft", role: "status" }, busy), el("progress", { class: "k-busy", "aria-label": busy }));
    try {
      const choice = await store.api.get("choice");
      if (turn === asked) show(choice);
    } catch (problem) {
      if (turn !== asked) return;
      solving.offer(null);
      fill(verdict, el("p", { class: "error", role: "alert" }, sentence(problem)), el("button", { class: "button", type: "button", onclick: find }, "Find k"));
    }
  }

  function show(choice) {
    const ks = [...choice.ks].sort((a, b) => a - b);
    const { suggested } = choice;
    const sure = Number.isFinite(choice.confidence) ? ` (confidence ${share(choice.confidence)})` : "";
    const differs = Number.isFinite(suggested) && suggested !== store.get().scene?.k;
    const none = "No k stands out: no number of clusters groups these rows better than rows without structure.";
    const answer = Number.isFinite(suggested) ? `Suggested: k = ${suggested}${sure}` : none;
    const go = el("button", { class: "button small", type: "button", hidden: !differs, onclick: () => solving.choose(suggested) }, `Show k = ${suggested}`);
    fill(verdict, el("div", { class: "row" }, el("p", { class: "k-answer" }, answer), go), reasonsOf(choice.reasons ?? []));
    const drawn = choice.curves.filter((curve) => curve.values.some(Number.isFinite)).map((curve) => figure(curve, ks, suggested));
    fill(charts, drawn.map((one) => one.node));
    marks = drawn.map((one) => one.mark);
    solving.offer(ks);
  }

  function figure(curve, ks, suggested) {
    const better = curve.better ? `${curve.better === "higher" ? "↑" : "↓"} ${curve.better} is better. ` : "";
    const rest = Number.isFinite(curve.best) ? `best at k = ${curve.best}` : "no best k";
    const reading = el("p", { class: "k-reading" }, rest);
    const onPoint = (dot) => {
      reading.textContent = dot ? `k = ${dot.k}: ${number(dot.value)}` : rest;
    };
    const picture = drawCurve(curve, { ks, suggested, onPick: (k) => solving.choose(k), onPoint });
    const node = el("figure", { class: "k-figure", title: curve.meaning },
      el("figcaption", null, el("b", null, curve.title)), picture.node, reading, el("p", { class: "soft" }, better + curve.meaning));
    return { node, mark: picture.mark };
  }

  /** A stream has a new version every few seconds: the old answer stays until one asks for another. */
  function renew() {
    if (foundFor === null || !foundFor.startsWith(`${store.get().model} `)) find();
    else if (foundFor !== wanted()) solving.outdated(find);
  }

  const watcher = new IntersectionObserver((entries) => {
    seen = entries.some((entry) => entry.isIntersecting);
    if (seen) renew();
  });
  watcher.observe(root);
  const offs = [
    store.on(["model", "scene"], () => {
      if (seen) renew();
    }),
  ];
  return {
    destroy() {
      watcher.disconnect();
      offs.forEach((off) => off());
      solving.destroy();
    },
  };
}

/** The slider and what it asks for. `onK` hears the k that is shown, null for the live model. */
function createSolving(store, onK) {
  const slider = el("input", { type: "range", class: "k-slider", id: "k-slider", min: 1, step: 1, "aria-label": "Number of clusters" });
  const box = el("input", { type: "number", class: "field k-box", min: 1, step: 1, "aria-label": "Number of clusters" });
  const back = el("button", { class: "button", type: "button", hidden: true, onclick: goLive }, "Back to the live model");
  const note = el("p", { class: "soft k-note", role: "status" });
  const renewal = el("p", { class: "soft k-note", hidden: true });
  const node = el("div", { class: "k-solving", hidden: true }, el("div", { class: "row" }, el("label", { for: "k-slider" }, "k"), slider, box, back), note, renewal);
  const answers = new Map();
  let control = null;
  let most = 1;

  const soon = settled(WAIT, (k) => ask(k));
  slider.addEventListener("input", () => choose(Number(slider.value), true));
  box.addEventListener("change", () => choose(Number(box.value)));

  function choose(wanted, later = false) {
    if (!Number.isFinite(wanted)) return;
    const k = Math.min(Math.max(Math.round(wanted), 1), most);
    slider.value = box.value = String(k);
    onK(k);
    if (later) soon(k);
    else ask(k);
  }

  function goLive() {
    control?.abort();
    store.set({ view: { mode: "live" } });
  }

  async function solved(k, signal) {
    const { model, scene } = store.get();
    const key = `${model} ${scene?.version} ${k}`;
    if (!answers.has(key)) {
      const data = await store.api.get("solve", { k }, { signal });
      if (data.version !== scene?.version) return data; // the service is ahead of this page
      if (answers.size >= KEPT) answers.delete(answers.keys().next().value);
      answers.set(key, data);
    }
    return answers.get(key);
  }

  async function ask(k) {
    control?.abort();
    const mine = (control = new AbortController());
    const began = performance.now();
    note.classList.remove("error");
    note.textContent = `Solving k = ${k}…`;
    try {
      const data = await solved(k, mine.signal);
      if (mine.signal.aborted) return;
      const took = performance.now() - began;
      store.set({ view: { mode: "solve", k, data } });
      tell(data, null, took);
      const now = store.get().scene?.k;
      // what k costs or gains is seen only beside the k there is, solved from the same summary
      if (now && now !== k && now <= most) {
        const live = await solved(now, mine.signal);
        if (!mine.signal.aborted) tell(data, live, took);
      }
    } catch (problem) {
      if (mine.signal.aborted) return;
      note.classList.add("error");
      note.textContent = sentence(problem);
    }
  }

  function tell(data, live, took) {
    const parts = [`k = ${data.k}`];
    const explained = Number.isFinite(live?.explained) ? ` (${share(live.explained)} at k = ${live.k} now)` : "";
    const against = live?.inertia > 0 ? ` (${changed(data.inertia / live.inertia - 1)} against now)` : "";
    if (Number.isFinite(data.explained)) parts.push(`explains ${share(data.explained)}${explained}`);
    if (Number.isFinite(data.inertia)) parts.push(`inertia ${number(data.inertia)}${against}`);
    parts.push(`found in ${took < 1000 ? `${Math.round(took)} ms` : duration(took / 1000)}`);
    note.textContent = parts.join(" · ");
  }

  // the colours of the points are given in the order of the scene's points, which a new version changes
  const offScene = store.on(["scene"], ({ view, scene }) => {
    if (view.mode === "solve" && scene && view.data.version !== scene.version) ask(view.k);
  });
  const off = store.on(["view", "model"], (state) => {
    const { view } = state;
    back.hidden = view.mode !== "solve";
    if (view.mode === "solve") return;
    control?.abort();
    rest(state.scene?.k);
  });

  function rest(k) {
    if (k) slider.value = box.value = String(Math.min(k, most));
    note.classList.remove("error");
    note.textContent = "";
    onK(null);
  }

  return {
    node,
    choose,
    /** The ks that may be chosen; null where none can be. */
    offer(ks) {
      node.hidden = !ks?.length;
      renewal.hidden = true;
      if (!ks?.length) return;
      const { scene, view } = store.get();
      most = Math.max(...ks, scene?.k ?? 1);
      slider.max = box.max = String(most);
      if (view.mode === "solve") {
        slider.value = box.value = String(view.k);
        onK(view.k);
      } else rest(scene?.k);
    },
    outdated(again) {
      if (!renewal.hidden) return;
      renewal.hidden = false;
      fill(renewal, "The model has changed since. ", el("button", { class: "button small", type: "button", onclick: again }, "Compare again"));
    },
    destroy() {
      control?.abort();
      off();
      offScene();
    },
  };
}

/** The first reason is the weightiest; the panel is low, so the others unfold. */
function reasonsOf([first, ...others]) {
  if (!first) return null;
  if (!others.length) return el("p", { class: "soft" }, first);
  return el("details", { class: "k-reasons" }, el("summary", null, first), el("ul", null, others.map((reason) => el("li", null, reason))));
}

function changed(ratio) {
  const cent = 100 * ratio;
  return `${cent > 0 ? "+" : cent < 0 ? "−" : "±"}${number(Math.abs(cent), 2)} %`;
}
