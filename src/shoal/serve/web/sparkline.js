/** A share over time as a small line. */

import { svg } from "./dom.js";

export const WIDTH = 64;
export const HEIGHT = 18;

/** The path of a history: from nothing at the bottom to its own largest share at the top.
 * @param {[number, number][]} history times and shares, the oldest first
 * @param {number} [width]
 * @param {number} [height]
 * @returns {string} empty for fewer than two times
 */
export function sparkPath(history, width = WIDTH, height = HEIGHT) {
  if (!history || history.length < 2) return "";
  const [start, end] = [history[0][0], history.at(-1)[0]];
  const top = Math.max(...history.map(([, share]) => share)) || 1;
  const room = height - 3;
  const place = ([t, share], i) => {
    const x = 1 + (width - 3) * (end > start ? (t - start) / (end - start) : i / (history.length - 1));
    return `${x.toFixed(1)} ${(1.5 + room * (1 - share / top)).toFixed(1)}`;
  };
  return `M${history.map(place).join("L")}`;
}

/** @returns {{node: SVGElement, show: (history: [number, number][]) => void}} */
export function createSparkline() {
  const line = svg("path", { class: "line" });
  const end = svg("circle", { r: 1.8 });
  const node = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" }, line, end);
  let shown = null;
  function show(history) {
    const path = sparkPath(history);
    if (path === shown) return;
    shown = path;
    node.toggleAttribute("hidden", path === "");
    if (path === "") return;
    line.setAttribute("d", path);
    const [x, y] = path.slice(path.lastIndexOf("L") + 1).split(" ");
    end.setAttribute("cx", x);
    end.setAttribute("cy", y);
  }
  return { node, show };
}
