/** Small signs for kinds of events, drawn: fonts do not all have them. */

import { svg } from "./dom.js";

const PATHS = {
  born: "M8 3v10M3 8h10",
  split: "M8 2v5L3 14M8 7l5 7",
  merged: "M3 2l5 7 5-7M8 9v5",
  died: "M4 4l8 8M12 4l-8 8",
  alarm: "M8 2.5v7.5M8 13v.5",
  grew: "M8 13V3M4 7l4-4 4 4",
  shrank: "M8 3v10M4 9l4 4 4-4",
  moved: "M3 8h10M9 4l4 4-4 4",
};

/** @param {string} kind @returns {SVGElement} */
export function sign(kind) {
  return svg("svg", { class: "sign", viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true", "data-kind": kind }, svg("path", { d: PATHS[kind] ?? "M7 8h2" }));
}
