/** What happened to the clusters, the newest first. */

import { createChip } from "./chip.js";
import { clock } from "./clock.js";
import { el, fill, keep, kept } from "./dom.js";
import { entriesOf } from "./feed_entries.js";
import { ago, time } from "./format.js";
import { sign } from "./sign.js";

/** Kinds of events: a word, and whether they are shown unless asked otherwise. */
const KINDS = {
  born: ["Born", true],
  split: ["Split", true],
  merged: ["Merged", true],
  died: ["Died", true],
  alarm: ["Alarm", true],
  grew: ["Grew", false],
  shrank: ["Shrank", false],
  moved: ["Moved", false],
};
const MOST = 400; // rows in the page; older ones come with "load older"
const MOST_CHIPS = 8;
const PAGES_AT_ONCE = 5;

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 */
export function createFeed(root, store) {
  const shown = new Set((kept("events.kinds") ?? defaults()).split(",").filter((kind) => kind in KINDS));
  const items = new Map();
  let isFirst = true;
  let room = MOST;

  const chips = el("div", { class: "filters", role: "group", "aria-label": "Kinds of events" }, Object.entries(KINDS).map(([kind, [word]]) =>
    el("button", { class: "chip toggle", type: "button", dataset: { kind }, "aria-pressed": String(shown.has(kind)), onclick: toggle }, sign(kind), word)));
  const list = el("ol", { class: "events" });
  const said = el("p", { class: "sr", "aria-live": "polite" });
  const empty = el("p", { class: "empty" });
  const older = el("button", { class: "button", type: "button", onclick: loadOlder }, "Load older");
  fill(root, chips, said, el("div", { class: "scroll" }, list, empty, older));

  function toggle(event) {
    const { kind } = event.currentTarget.dataset;
    if (!shown.delete(kind)) shown.add(kind);
    event.currentTarget.setAttribute("aria-pressed", String(shown.has(kind)));
    keep("events.kinds", [...shown].join(","));
    isFirst = true;
    update();
  }

  function update() {
    const state = store.get();
    const wanted = entriesOf(state.events, state.alarms, shown, state.scene?.texts).slice(0, room);
    const keys = new Set(wanted.map((e) => e.key));
    for (const [key, item] of items) {
      if (keys.has(key)) continue;
      item.remove();
      items.delete(key);
    }
    const fresh = [];
    wanted.forEach((entry, i) => {
      let item = items.get(entry.key);
      if (!item) {
        items.set(entry.key, item = itemOf(entry, store));
        if (!isFirst && i === fresh.length) {
          item.classList.add("fresh");
          fresh.push(entry);
        }
      }
      if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
    });
    if (fresh.length) said.textContent = fresh.length > 3 ? `${fresh.length} new events` : fresh.map((e) => e.text).join(". ");
    isFirst = wanted.length === 0 && state.events.length === 0;
    empty.hidden = wanted.length > 0;
    empty.textContent = state.events.length
      ? "Nothing of the kinds chosen above."
      : "Nothing has happened yet. When clusters are born, split, merge or die, it is told here.";
    older.hidden = state.eventsNext === null;
    restamp();
  }

  function restamp() {
    const { now, dated } = clock(store.get());
    for (const item of items.values()) {
      const stamp = item.querySelector("time");
      const t = stamp.dataset.t === "" ? null : Number(stamp.dataset.t);
      stamp.textContent = ago(t, now, dated);
      stamp.title = time(t, dated);
    }
  }

  async function loadOlder() {
    older.disabled = true;
    isFirst = true;
    room += MOST;
    try {
      // a page may hold only kinds that are not shown
      for (let pages = 0, count = items.size; pages < PAGES_AT_ONCE && items.size === count && store.get().eventsNext !== null; pages++) {
        const { events, next } = await store.api.get("events", { limit: 100, before: store.get().eventsNext });
        const known = new Set(store.get().events.map((e) => e.seq));
        store.set({ events: [...store.get().events, ...events.filter((e) => !known.has(e.seq))], eventsNext: next });
        update();
      }
    } catch (problem) {
      empty.hidden = false;
      empty.textContent = problem.message;
    } finally {
      older.disabled = false;
    }
  }

  const offs = [store.on(["events", "alarms", "eventsNext"], update), store.on(["scene", "history"], () => {
    // a cluster that has a name or a colour now shows it
    for (const item of items.values()) item.chips.forEach((chip) => chip.refresh());
    update();
  })];
  update();
  return { destroy: () => offs.forEach((off) => off()) };
}

const defaults = () => Object.keys(KINDS).filter((kind) => KINDS[kind][1]).join(",");

function itemOf(entry, store) {
  const chips = entry.ids.map((id) => createChip(id, store));
  const rest = chips.splice(MOST_CHIPS);
  const showRest = (event) => event.currentTarget.replaceWith(...rest.map((chip) => chip.node));
  const more = rest.length > 0 && el("button", { class: "chip", type: "button", onclick: showRest }, `and ${rest.length} more`);
  const [word] = KINDS[entry.kind] ?? [entry.kind];
  const item = el("li", { dataset: { kind: entry.kind } },
    sign(entry.kind),
    el("div", { class: "what" },
      el("p", null, (entry.kind === "alarm" || !entry.text) && el("b", null, `${word} `), entry.text),
      chips.length > 0 && el("p", { class: "who" }, chips.map((chip) => chip.node), more)),
    el("time", { dataset: { t: entry.time ?? "" } }));
  item.chips = [...chips, ...rest];
  return item;
}
