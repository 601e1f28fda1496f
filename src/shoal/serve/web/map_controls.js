/** What lies around the map: how points are shown, zoom, names of the axes, a legend. */

import { el, fill, keep, kept } from "./dom.js";

const SHAPES = [
  ["points", "Points"],
  ["hulls", "Hulls"],
  ["density", "Density"],
];

/**
 * @param {HTMLElement} root
 * @param {{shape: (shape: string) => void, zoom: (factor: number) => void, reset: () => void}} actions
 */
export function createControls(root, actions) {
  const known = kept("map.shape");
  let shape = SHAPES.some(([key]) => key === known) ? known : "points";
  const choose = (key) => {
    shape = key;
    keep("map.shape", key);
    actions.shape(key);
  };
  const options = SHAPES.map(([key, text]) =>
    el("label", null, el("input", { type: "radio", name: "map-shape", value: key, checked: key === shape, onchange: () => choose(key) }), el("span", null, text)),
  );
  const shapes = el("fieldset", { class: "map-shapes" }, el("legend", { class: "map-unseen" }, "Show rows as"), options);
  const button = (text, label, onclick) => el("button", { type: "button", "aria-label": label, title: label, onclick }, text);
  const zoom = el(
    "div",
    { class: "map-zoom", role: "group", "aria-label": "Zoom" },
    button("+", "Zoom in (+)", () => actions.zoom(1.5)),
    button("−", "Zoom out (−)", () => actions.zoom(1 / 1.5)),
    button("⤢", "Show all (0)", actions.reset),
  );
  const up = el("p", { class: "map-up" });
  const across = el("p", { class: "map-across" });
  const note = el("p", { class: "map-note" });
  const legend = el("ul", { class: "map-legend", hidden: true });
  root.append(up, across, note, legend, shapes, zoom);

  return {
    shape: () => shape,
    /** @param {import("./map_picture.js").Picture} picture */
    describe({ chart, mode }) {
      const plain = chart.kind === "landmarks";
      up.textContent = plain || !chart.y ? "" : `↑ ${chart.y}`;
      across.textContent = plain || !chart.x ? "" : `${chart.x} →`;
      note.textContent = plain ? "Near means alike; long distances mean little." : "";
      legend.hidden = mode !== "compare";
      fill(legend, legend.hidden ? [] : LEGEND.map(([name, text]) => el("li", null, el("i", { class: name }), text)));
    },
    /** Places that labels keep clear of, in pixels of the map. */
    taken() {
      const from = root.getBoundingClientRect();
      return [shapes, zoom, up, across, note, legend]
        .map((part) => part.getBoundingClientRect())
        .filter((box) => box.width > 0 && box.height > 0)
        .map((box) => ({ left: box.left - from.left, top: box.top - from.top, right: box.right - from.left, bottom: box.bottom - from.top }));
    },
  };
}

const LEGEND = [
  ["is-before", "before"],
  ["is-after", "after"],
  ["is-new", "new"],
  ["is-gone", "gone"],
];
