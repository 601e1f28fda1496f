/** The dialog that says what the parts of the page are. */

import { el } from "./dom.js";

const PARTS = [
  ["Map", "Each disc is a cluster; its size is its share of the rows. Dots are a sample of rows; rings are rows as they come; crosses are outliers. Drag to move, turn the wheel to zoom."],
  ["Clusters", "The largest first. Click to select, double click to rename. The line shows the share over time."],
  ["Shares over time", "One band for each cluster. Drag over the picture to look at that time alone."],
  ["Events", "Clusters that were born, split, merged or died, the newest first."],
  ["Outliers", "Rows far from every cluster, and why."],
  ["Which k", "How good other numbers of clusters would be, and what they would look like."],
  ["Time", "The clusters of a stretch of time, and what changed between two of them."],
  ["Try a row", "Which cluster a row or text of yours belongs to, and why."],
];
const KEYS = [
  ["/", "filter the clusters"], ["j  k", "next, previous cluster"], ["F2", "rename the cluster in focus"], ["e o w t r", "Events, Outliers, Which k, Time, Try a row"],
  ["+ − 0", "zoom the map, when it has focus"], ["Esc", "select nothing"], ["d", "light or dark"], ["?", "this help"],
];

/** @param {HTMLButtonElement} button @returns {{open: () => void}} */
export function createHelp(button) {
  const close = el("button", { class: "button icon", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, "×");
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "help-title" },
    el("div", { class: "row between" }, el("h2", { id: "help-title" }, "What is on this page"), close),
    el("dl", { class: "parts" }, PARTS.map(([name, text]) => [el("dt", null, name), el("dd", null, text)])),
    el("h3", null, "Keys"),
    el("dl", { class: "keys" }, KEYS.map(([key, text]) => [el("dt", null, key.split(" ").filter(Boolean).map((k) => el("kbd", null, k))), el("dd", null, text)])));
  // a click on the dark beside it closes it, as people expect
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  const open = () => dialog.showModal();
  button.addEventListener("click", open);
  return { open };
}
