/** Keyboard shortcuts of the page. */

/** In the order the list of clusters has now, as far as it is on the page. */
const shownIds = () => [...document.querySelectorAll("#clusters [data-id]")].filter((row) => !row.hidden).map((row) => Number(row.dataset.id));

/**
 * @param {import("./store.js").Store} store
 * @param {{tabs: {open: (id: string, focus?: boolean) => void}, theme: () => void, help: {open: () => void}}} page
 */
export function createKeys(store, page) {
  function step(by) {
    const ids = shownIds();
    if (ids.length === 0) return;
    const here = ids.indexOf(store.get().selected);
    const next = here < 0 ? (by > 0 ? 0 : ids.length - 1) : Math.min(Math.max(here + by, 0), ids.length - 1);
    store.set({ selected: ids[next] });
  }

  /** One step at a time: first what is picked out, then the view. */
  function back() {
    const { selected, probe } = store.get();
    store.set(selected !== null || probe !== null ? { selected: null, probe: null } : { view: { mode: "live" } });
  }

  const actions = {
    "/": () => document.querySelector("#clusters input[type=search]")?.focus(),
    j: () => step(1),
    k: () => step(-1),
    e: () => page.tabs.open("events", true),
    o: () => page.tabs.open("outliers", true),
    w: () => page.tabs.open("which-k", true),
    t: () => page.tabs.open("time", true),
    r: () => page.tabs.open("probe", true),
    d: page.theme,
    "?": page.help.open,
    Escape: back,
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    // letters belong to whoever types, and everything to an open dialog
    if (event.target.closest?.("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
    const action = actions[event.key];
    if (!action || document.getElementById("live").hidden && event.key !== "d" && event.key !== "?") return;
    event.preventDefault();
    action();
  });
}
