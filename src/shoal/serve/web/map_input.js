/** Pointer, wheel and keys on the map, told as what they mean. */

const CLICK = 5;

/**
 * @typedef {object} Actions
 * @property {(dx: number, dy: number) => void} drag
 * @property {(pixels: [number, number] | null, factor: number, slowly?: boolean) => void} zoom  null: the middle
 * @property {() => void} reset
 * @property {(pixels: [number, number] | null) => void} point  where the pointer is; null when it has left
 * @property {(pixels: [number, number]) => void} press
 * @property {(by: number | "first" | "last") => void} step  to another cluster, by size
 * @property {() => void} choose
 * @property {() => void} clear
 */

/** @param {HTMLElement} surface @param {Actions} actions */
export function listenTo(surface, actions) {
  listenToPointers(surface, actions);
  surface.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const done = key(event, actions);
    if (done) event.preventDefault();
  });
  surface.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      // a line or a page is as many pixels as browsers make of it; a pinch on a touch pad comes as ctrl and small steps
      const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
      actions.zoom(placeOf(surface, event), Math.exp(-Math.max(-120, Math.min(120, pixels)) * (event.ctrlKey ? 0.01 : 0.0022)));
    },
    { passive: false },
  );
  surface.addEventListener("dblclick", (event) => actions.zoom(placeOf(surface, event), event.shiftKey ? 0.5 : 2, true));
}

function listenToPointers(surface, actions) {
  const held = new Map();
  let moved = 0;

  surface.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (held.size === 0) moved = 0;
    held.set(event.pointerId, placeOf(surface, event));
    surface.setPointerCapture(event.pointerId);
  });
  surface.addEventListener("pointermove", (event) => {
    const at = placeOf(surface, event);
    const before = held.get(event.pointerId);
    if (before === undefined) return actions.point(at);
    moved += Math.hypot(at[0] - before[0], at[1] - before[1]);
    if (held.size > 1) {
      moved = Infinity;
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      pinch(other, before, at, actions);
    } else if (moved > CLICK) {
      surface.classList.add("is-held");
      actions.point(null);
      actions.drag(at[0] - before[0], at[1] - before[1]);
    } else return;
    held.set(event.pointerId, at);
  });
  const end = (event) => {
    if (!held.delete(event.pointerId)) return;
    surface.classList.remove("is-held");
    if (event.type === "pointerup" && moved <= CLICK) actions.press(placeOf(surface, event));
  };
  surface.addEventListener("pointerup", end);
  surface.addEventListener("pointercancel", end);
  surface.addEventListener("pointerleave", () => actions.point(null));
}

function pinch(other, before, at, actions) {
  const factor = Math.hypot(at[0] - other[0], at[1] - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
  actions.zoom([(at[0] + other[0]) / 2, (at[1] + other[1]) / 2], factor);
  actions.drag((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
}

function key(event, actions) {
  const way = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (way && event.shiftKey) actions.drag(way[0] * 60, way[1] * 60);
  else if (way) actions.step(way[0] + way[1] > 0 ? -1 : 1);
  else if (event.key === "Home") actions.step("first");
  else if (event.key === "End") actions.step("last");
  else if (event.key === "+" || event.key === "=") actions.zoom(null, 1.5, true);
  else if (event.key === "-" || event.key === "_") actions.zoom(null, 1 / 1.5, true);
  else if (event.key === "0") actions.reset();
  else if (event.key === "Enter" || event.key === " ") actions.choose();
  else {
    // the page has something to clear, too
    if (event.key === "Escape") actions.clear();
    return false;
  }
  return true;
}

function placeOf(surface, event) {
  const box = surface.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}
