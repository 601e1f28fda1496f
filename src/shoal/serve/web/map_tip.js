/** What the map says about a cluster or a row: beside the pointer, and in a line for screen readers. */

import { el, fill } from "./dom.js";
import { number, share } from "./format.js";

const OFF = 14;
const MOST_VALUES = 5;

/**
 * @typedef {object} Hit
 * @property {"mark" | "ghost" | "point" | "live" | "outlier"} kind
 * @property {number} cluster
 * @property {[number, number]} pixels
 * @property {object} [outlier]
 */

/** @param {HTMLElement} root @returns {{show: (hit: Hit, cluster: object, colour: string) => void, hide: () => void}} */
export function createTip(root) {
  const box = root.appendChild(el("div", { class: "map-tip", hidden: true, "aria-hidden": "true" }));
  return {
    show(hit, cluster, colour) {
      fill(box, ...contentOf(hit, cluster));
      box.style.setProperty("--c", colour);
      box.hidden = false;
      place(box, root, hit.pixels);
    },
    hide() {
      box.hidden = true;
    },
  };
}

/** A cluster in one sentence.
 * @param {object} cluster
 * @param {number} rank 1 for the largest
 * @param {number} k
 */
export function sentence(cluster, rank, k) {
  const about = told(cluster).slice(0, 3).join(", ");
  return `${headOf(cluster)}, ${share(cluster.share)} of all rows, ${rank} of ${k} by size${about ? `: ${about}` : ""}`;
}

function contentOf(hit, cluster) {
  if (hit.kind === "outlier") return outlierContent(hit.outlier, cluster);
  const head = el("b", null, el("i"), headOf(cluster));
  const size = `${share(cluster.share)} of all rows`;
  if (hit.kind === "point") return [head, el("span", null, `A row of this cluster, which has ${size}`), firstTold(cluster)];
  if (hit.kind === "live") return [head, el("span", null, "A row that has just come"), firstTold(cluster)];
  if (hit.kind === "ghost") return [head, el("span", null, `Before: ${size}`)];
  const examples = (cluster.examples ?? []).slice(0, 2).map((text) => el("q", null, cut(text, 120)));
  return [head, el("span", null, size), ...told(cluster).slice(0, 4).map((text) => el("span", { class: "told" }, text)), ...examples];
}

function outlierContent(outlier, cluster) {
  const row = outlier.row ?? {};
  const values = typeof row.text === "string" ? [el("q", null, cut(row.text, 160))] : Object.entries(row).slice(0, MOST_VALUES).map(valueLine);
  return [
    el("b", null, el("em", null, "×"), "Outlier"),
    el("span", null, `Nearest: ${headOf(cluster)}`),
    outlier.reason ? el("span", { class: "told" }, outlier.reason) : null,
    ...values,
  ];
}

function valueLine([name, value]) {
  return el("span", { class: "value" }, `${name}: ${typeof value === "number" ? number(value, 4) : String(value)}`);
}

function headOf(cluster) {
  const label = cluster.label ?? `cluster ${cluster.id}`;
  return label.startsWith("cluster ") ? `C${label.slice(1)}` : label;
}

function told(cluster) {
  if (cluster.keywords?.length) return [cluster.keywords.slice(0, 6).join(", ")];
  return (cluster.traits ?? []).map((trait) => trait.text ?? [trait.direction, trait.label].filter(Boolean).join(" "));
}

function firstTold(cluster) {
  const [first] = told(cluster);
  return first ? el("span", { class: "told" }, first) : null;
}

function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1).trimEnd()}…` : text;
}

/** Beside the place, on the side where there is room. */
function place(box, root, [x, y]) {
  const [wide, high] = [root.clientWidth, root.clientHeight];
  const left = x + OFF + box.offsetWidth <= wide ? x + OFF : Math.max(4, x - OFF - box.offsetWidth);
  const top = Math.min(Math.max(4, y - box.offsetHeight / 2), Math.max(4, high - box.offsetHeight - 4));
  box.style.left = `${left}px`;
  box.style.top = `${top}px`;
}
