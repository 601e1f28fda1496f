/** Two windows side by side: what happened between them, and each cluster's share in both. */

import { el } from "./dom.js";
import { share } from "./format.js";
import { bar, clusterChip } from "./panel_parts.js";
import { sign } from "./sign.js";

const MOST = 40; // with hundreds of clusters those that changed most are what one looks for

/**
 * Clusters of either window with both shares, those that changed most first.
 * @param {{clusters: {id: number, share: number}[]}} before
 * @param {{clusters: {id: number, share: number}[]}} after
 * @returns {{id: number, before: number | null, after: number | null, change: number, known: object}[]} null: not there
 */
export function pairs(before, after) {
  const both = new Map();
  for (const [key, side] of [["before", before], ["after", after]]) {
    for (const cluster of side.clusters) {
      const pair = both.get(cluster.id) ?? { id: cluster.id, before: null, after: null };
      both.set(cluster.id, { ...pair, [key]: cluster.share, known: { label: cluster.label, colour: cluster.colour } });
    }
  }
  return [...both.values()]
    .map((pair) => ({ ...pair, change: (pair.after ?? 0) - (pair.before ?? 0) }))
    .sort((a, b) => Math.abs(b.change) - Math.abs(a.change) || a.id - b.id);
}

/** What an event says, in words, if the service did not.
 * @param {{kind: string, text?: string, share?: number | null}} event
 */
export function eventText(event) {
  return event.text || `${event.kind}${Number.isFinite(event.share) ? `, ${share(event.share)} of the rows` : ""}`;
}

/**
 * @param {import("./store.js").Store} store
 * @param {{before: object, after: object, events: object[]}} data an answer of /compare
 * @returns {HTMLElement}
 */
export function drawComparison(store, data) {
  const all = pairs(data.before, data.after);
  const known = new Map(all.map((pair) => [pair.id, pair.known]));
  const rows = all.slice(0, MOST).map((pair) => row(store, pair, Math.max(...all.map((p) => Math.max(p.before ?? 0, p.after ?? 0)))));
  const left = all.length - rows.length;
  return el("div", null,
    el("h3", null, "What changed"),
    data.events.length
      ? el("ul", { class: "t-events" }, data.events.map((event) => line(store, event, known)))
      : el("p", { class: "soft" }, "No cluster was born, died, moved or changed its share by much."),
    el("table", { class: "t-table" },
      el("thead", null, el("tr", null, ["Cluster", "Before", "After", "Change"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", null, rows)),
    left > 0 ? el("p", { class: "soft" }, `${left} more changed less.`) : null);
}

function line(store, event, known) {
  return el("li", null,
    el("span", { class: "t-sign", title: event.kind }, sign(event.kind)),
    Number.isFinite(event.cluster) ? clusterChip(store, event.cluster, known.get(event.cluster)) : null,
    el("span", null, eventText(event)));
}

function row(store, pair, most) {
  const points = 100 * pair.change;
  const sign = points > 0 ? "+" : points < 0 ? "−" : "±";
  const cell = (value) => el("td", { class: "t-number" }, value === null ? "not there" : share(value));
  return el("tr", null,
    el("th", { scope: "row" }, clusterChip(store, pair.id, pair.known),
      el("span", { class: "t-bars" }, bar((pair.before ?? 0) / most, "var(--soft)"), bar((pair.after ?? 0) / most, pair.known.colour))),
    cell(pair.before), cell(pair.after),
    el("td", { class: "t-number" }, `${sign}${Math.abs(points).toFixed(1)} pt`));
}
