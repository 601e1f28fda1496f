/** Small things the panels share: the words of an error, the chip of a cluster, bars. */

import { clusterOf } from "./colours.js";
import { el } from "./dom.js";

/** What went wrong and what helps, in one sentence.
 * @param {{message: string, error?: string, remedy?: string}} problem
 */
export function sentence(problem) {
  const text = problem.error || problem.message;
  return problem.remedy ? `${text}: ${problem.remedy}` : text;
}

/** A button with a cluster's colour and label that selects it; an answer may know clusters that the scene does not.
 * @param {import("./store.js").Store} store
 * @param {number} id
 * @param {{label?: string, colour?: string}} [known]
 * @returns {HTMLElement}
 */
export function clusterChip(store, id, known = {}) {
  const { label, colour } = { ...clusterOf(store.get(), id), ...known };
  return el(
    "button",
    {
      class: "chip cluster", type: "button", title: label, style: { "--c": colour },
      onclick: () => store.set({ selected: id }),
      onpointerenter: () => store.set({ hovered: id }),
      onpointerleave: () => store.get().hovered === id && store.set({ hovered: null }),
    },
    label,
  );
}

/** A share from 0 to 1 as a bar.
 * @param {number} part
 * @param {string} [colour]
 */
export function bar(part, colour) {
  const width = `${100 * Math.min(Math.max(part || 0, 0), 1)}%`;
  return el("span", { class: "bar", "aria-hidden": "true" }, el("i", { style: { width, ...(colour ? { "--c": colour } : {}) } }));
}
