/** What the service says about one row, drawn. */

import { el } from "./dom.js";
import { number, share } from "./format.js";
import { bar, clusterChip } from "./panel_parts.js";
import { oddness } from "./probe_row.js";

/**
 * @param {import("./store.js").Store} store
 * @param {object} found an answer of /explain
 * @returns {HTMLElement}
 */
export function drawAnswer(store, found) {
  const texts = store.get().scene?.texts;
  const odd = oddness(found.outlier_score, texts ? "texts" : "rows");
  return el("div", null,
    el("p", { class: "p-head" }, clusterChip(store, found.cluster, { label: found.label }),
      el("span", null, "distance ", el("b", null, number(found.distance))),
      el("span", { class: "soft" }, `next ${number(found.second_distance)}`)),
    el("div", { class: found.is_outlier ? "p-odd p-outlier" : "p-odd" },
      el("b", null, found.is_outlier ? "outlier" : odd.word), bar(found.outlier_score), el("span", null, odd.text)),
    found.text ? el("p", null, found.text) : null,
    found.nearest?.length ? nearest(store, found.nearest, texts ? "Nearest topics" : "Nearest clusters") : null,
    found.why?.length ? why(found) : null);
}

function nearest(store, list, title) {
  const most = Math.max(...list.map((one) => one.distance));
  return el("section", null, el("h3", null, title),
    el("ol", { class: "p-nearest" }, list.map((one) =>
      el("li", null, clusterChip(store, one.id, { label: one.label }), bar(most > 0 ? one.distance / most : 0), el("span", { class: "p-number" }, number(one.distance))))));
}

function why(found) {
  const second = found.nearest?.[1]?.label;
  const heads = ["Column", "Here", found.label, second ?? "Next cluster", "Tells them apart"];
  return el("section", null, el("h3", null, second ? `Why ${found.label}, not ${second}` : "Why"),
    el("div", { class: "p-scroll" }, el("table", { class: "p-why" },
      el("thead", null, el("tr", null, heads.map((head) => el("th", { scope: "col", title: head }, head)))),
      el("tbody", null, found.why.map((one) =>
        el("tr", null, el("th", { scope: "row" }, one.column), [one.value, one.centre, one.second].map((text) => el("td", null, text)),
          el("td", null, el("span", { class: "p-share" }, bar(one.share), share(one.share)))))))));
}
