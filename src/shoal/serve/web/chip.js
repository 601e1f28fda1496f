/** A cluster named in passing: a click selects it. */

import { el } from "./dom.js";
import { clusterOf } from "./colours.js";

/**
 * @param {number} id
 * @param {import("./store.js").Store} store
 * @returns {{node: HTMLElement, refresh: () => void}}
 */
export function createChip(id, store) {
  const node = el("button", {
    class: "chip cluster", type: "button",
    onclick: () => store.set({ selected: id }),
    onpointerenter: () => store.set({ hovered: id }),
    onpointerleave: () => store.get().hovered === id && store.set({ hovered: null }),
  });
  function refresh() {
    const { label, colour, isGone } = clusterOf(store.get(), id);
    node.textContent = label;
    node.style.setProperty("--c", colour);
    node.disabled = isGone;
    node.title = isGone ? "This cluster is no more" : "Select this cluster";
  }
  refresh();
  return { node, refresh };
}
