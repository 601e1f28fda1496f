/** The header, the banner over a view that is not live, and what stands there while there is no model. */

import { clock } from "./clock.js";
import { el, fill } from "./dom.js";
import { count, share, shortTime, time } from "./format.js";

const at = (id) => document.getElementById(id);
const CONNECTION = { live: "live", waiting: "connecting", lost: "connection lost, trying again" };

/**
 * @param {import("./store.js").Store} store
 * @param {(model: string) => void} show switches to another model
 */
export function createFrame(store, show) {
  const picker = at("model");
  picker.addEventListener("change", () => {
    const address = new URL(location.href);
    address.searchParams.set("model", picker.value);
    window.history.replaceState(null, "", address);
    show(picker.value);
  });
  store.on(["models", "model"], () => showModels(picker, store.get()));
  store.on(["scene", "model"], () => showFacts(store.get()));
  store.on(["connection", "scene"], () => showConnection(store.get()));
  store.on(["view", "scene"], () => showBanner(store));
  store.on(["scene", "error", "model"], () => showOrNothing(store.get()));
}

function showModels(picker, { models, model }) {
  fill(picker, models.map((m) => el("option", { value: m.name }, m.version === null ? `${m.name} (nothing yet)` : m.name)));
  picker.value = model ?? "";
  picker.closest("label").hidden = models.length < 2;
}

function showFacts({ scene, model, models }) {
  document.title = model ? `${model} · Shoal` : "Shoal";
  if (!scene) return fill(at("facts"), model && models.length < 2 && el("b", null, model));
  const what = scene.texts ? "topics" : "clusters";
  fill(at("facts"),
    // the picker says it already
    models.length < 2 && el("b", null, scene.model),
    el("span", { title: `version ${scene.version}, read by the service ${scene.loaded_at}` }, `version ${shortVersion(scene.version)}`),
    el("span", null, `${count(scene.k)} ${what}`),
    el("span", { title: "rows this model has seen" }, `${count(scene.rows_seen)} ${scene.texts ? "texts" : "rows"}`),
    scene.now !== null && scene.dated && el("span", { class: "wide-only" }, `up to ${time(scene.now, true)}`));
}

/** A version is a number, or a hash of which the beginning tells enough. */
function shortVersion(version) {
  return /^[0-9a-f]{12,}$/.test(version) ? version.slice(0, 8) : version;
}

function showConnection({ connection, scene }) {
  const place = at("connection");
  place.dataset.state = connection;
  place.lastElementChild.textContent = CONNECTION[connection] ?? connection;
  place.title = connection === "live" ? "What happens is shown as it happens" : scene ? "What is shown is as of before" : "";
}

function showBanner(store) {
  const { view, scene } = store.get();
  const banner = at("banner");
  banner.hidden = view.mode === "live" || !scene;
  if (banner.hidden) return banner.replaceChildren();
  const back = el("button", { class: "button", type: "button", onclick: () => store.set({ view: { mode: "live" } }) }, "Back to live");
  fill(banner, el("span", null, bannerText(view, clock(store.get()).dated)), back);
}

/** What a view shows, in one sentence. */
function bannerText(view, dated) {
  const { data } = view;
  if (view.mode === "solve") {
    const explained = data?.explained;
    const how = typeof explained === "number" ? `, which explains ${share(explained)} of the spread` : "";
    return `Showing k = ${view.k}, solved from the summary${how}.`;
  }
  const stretch = (w) => shortStretch(w, dated);
  if (view.mode === "window") {
    const notes = [data.widened && "widened to what is held", data.gaps && "with gaps"].filter(Boolean).join(", ");
    return `Showing ${stretch(data)}: ${count(data.rows)} rows in ${count(data.k)} clusters${notes ? ` (${notes})` : ""}.`;
  }
  return `Comparing ${stretch(data.after)} with ${stretch(data.before)}.`;
}

function shortStretch(w, dated) {
  if (!dated) return `rows ${count(w.from)} to ${count(w.to)}`;
  if (w.to - w.from > 14 * 86400) return `${shortTime(w.from, true, 200 * 86400)} to ${shortTime(w.to, true, 200 * 86400)}`;
  return `${time(w.from, true).slice(0, 16)} to ${time(w.to, true).slice(0, 16)} UTC`;
}

function showOrNothing({ scene, error, model }) {
  at("live").hidden = scene === null;
  const nothing = at("nothing");
  nothing.hidden = scene !== null;
  if (scene !== null) return nothing.replaceChildren();
  if (error?.status === 503) return fill(nothing, emptyStore(model));
  if (error) {
    const remedy = error.remedy && el("p", { class: "soft" }, error.remedy);
    return fill(nothing, el("div", { class: "empty" }, el("h2", null, "Nothing to show"), el("p", null, error.error), remedy));
  }
  fill(nothing, el("p", { class: "soft" }, "Loading …"));
}

function emptyStore(model) {
  const commands = [
    ["Cluster a table once", "shoal fit rows.csv -k 8 --out STORE"],
    ["Follow a stream of rows", "shoal stream rows.jsonl --follow -k 8 --state STORE"],
    ["Follow a stream of texts", "shoal topics stream texts.jsonl --follow --state STORE"],
  ];
  return el("div", { class: "empty" },
    el("img", { src: "/web/icon.svg", alt: "", width: 56, height: 56 }),
    el("h2", null, "No model yet."),
    el("p", null, "It appears here as soon as one is published", model && [" to ", el("b", null, model)], "."),
    el("dl", { class: "commands" }, commands.map(([name, line]) => [el("dt", null, name), el("dd", null, el("code", null, line))])),
    el("p", { class: "soft" }, "STORE is the folder this service was started with. This page looks by itself."));
}
