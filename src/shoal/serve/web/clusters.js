/** The list of clusters: filter, order, selection. */

import { createRow } from "./cluster_row.js";
import { matches, ordered, settledOrder } from "./cluster_order.js";
import { el, fill, keep, kept, settled } from "./dom.js";
import { count } from "./format.js";

const SORTS = [["size", "largest first"], ["newest", "newest first"], ["growing", "growing first"]];

/** The clusters that a view shows.
 * @param {object} state
 * @returns {object[]}
 */
export function clustersOf({ view, scene }) {
  if (view.mode === "solve" || view.mode === "window") return view.data?.clusters ?? [];
  if (view.mode === "compare") return view.data?.after?.clusters ?? [];
  return scene?.clusters ?? [];
}

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 */
export function createClusters(root, store) {
  const rows = new Map();
  let order = [];
  let mode = null;
  let sort = kept("sort", "size");

  const search = el("input", { class: "field", type: "search", placeholder: "Filter (/)", "aria-label": "Filter the clusters", oninput: settled(80, filter) });
  const sorter = el("select", { class: "field", "aria-label": "Order of the list", onchange: resort },
    SORTS.map(([value, text]) => el("option", { value, selected: value === sort }, text)));
  const title = el("h2", null, "Clusters");
  const none = el("p", { class: "empty", hidden: true });
  const list = el("ol", { class: "clusters", "aria-label": "Clusters", onkeydown: move });
  fill(root, el("div", { class: "panel-head" }, title, search, sorter), el("div", { class: "scroll" }, list, none));

  function resort() {
    sort = sorter.value;
    keep("sort", sort);
    order = [];
    update();
    list.parentElement.scrollTop = 0;
  }

  function update() {
    const state = store.get();
    const clusters = clustersOf(state);
    const wanted = ordered(clusters, sort, state.events);
    // what another view shows is another list: nothing to keep steady
    if (state.view !== mode) order = [];
    mode = state.view;
    order = order.length ? settledOrder(order, wanted) : wanted;

    const byId = new Map(clusters.map((c) => [c.id, c]));
    for (const [id, row] of rows) {
      if (byId.has(id)) continue;
      row.node.remove();
      rows.delete(id);
    }
    const top = Math.max(...clusters.map((c) => c.share), 1e-9);
    order.forEach((id, i) => {
      let row = rows.get(id);
      if (!row) rows.set(id, row = createRow(id, store));
      row.show(byId.get(id), state, top);
      // moving a row that is in its place already would take the focus from it
      if (list.children[i] !== row.node) list.insertBefore(row.node, list.children[i] ?? null);
    });
    filter();
    mark();
  }

  function filter() {
    const { scene } = store.get();
    let found = 0;
    for (const row of rows.values()) {
      row.node.hidden = !matches(row.cluster, search.value);
      found += row.node.hidden ? 0 : 1;
    }
    const what = scene?.texts ? "Topics" : "Clusters";
    title.textContent = found === rows.size ? `${what} ${count(rows.size)}` : `${what} ${count(found)} of ${count(rows.size)}`;
    none.hidden = found > 0;
    none.textContent = rows.size === 0 ? "No clusters." : "No cluster has all of these words.";
  }

  function mark() {
    const { selected, hovered } = store.get();
    // one row can be tabbed to: the one in focus, else the one selected, else the first
    const inFocus = document.activeElement?.closest("#clusters li")?.dataset.id;
    const focusable = inFocus !== undefined ? Number(inFocus) : rows.has(selected) ? selected : order[0];
    for (const [id, row] of rows) row.mark(id === selected, id === hovered, id === focusable);
  }

  function reveal() {
    mark();
    const row = rows.get(store.get().selected);
    if (row && !row.node.matches(":hover")) row.node.scrollIntoView({ block: "nearest" });
  }

  function move(event) {
    if (!event.target.classList.contains("pick")) return;
    const shown = [...list.querySelectorAll("li:not([hidden]) > .pick")];
    const here = shown.indexOf(event.target);
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: shown.length - 1, PageDown: here + 8, PageUp: here - 8 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    shown[Math.min(Math.max(to, 0), shown.length - 1)].focus();
  }

  const offs = [
    store.on(["scene", "view", "session"], update),
    store.on(["selected"], reveal),
    store.on(["hovered"], mark),
    // births are told by events, and shown with what is open
    store.on(["events"], () => sort === "newest" ? update() : undefined),
  ];
  update();
  return { destroy: () => offs.forEach((off) => off()) };
}
