/** Tabs of the details panel: one is open, and remembered. */

import { keep, kept } from "./dom.js";

/** @param {HTMLElement} list the tab list @returns {{open: (id: string, focus?: boolean) => void}} */
export function createTabs(list) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const panelOf = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

  function show(chosen, focus = false) {
    for (const tab of tabs) {
      const isOpen = tab === chosen;
      tab.setAttribute("aria-selected", String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
      panelOf(tab).hidden = !isOpen;
    }
    if (focus) chosen.focus();
    chosen.scrollIntoView({ block: "nearest", inline: "nearest" });
    keep("tab", chosen.getAttribute("aria-controls"));
  }

  const find = (id) => tabs.find((tab) => tab.getAttribute("aria-controls") === id) ?? tabs[0];

  for (const tab of tabs) tab.addEventListener("click", () => show(tab));
  list.addEventListener("keydown", (event) => {
    const here = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (here < 0 || to === undefined) return;
    event.preventDefault();
    show(tabs.at(to % tabs.length), true);
  });
  // another part may open a panel: "Try it" of the outliers, a range chosen in the picture of shares
  document.addEventListener("shoal:range", () => show(find("time")));
  document.addEventListener("shoal:probe", () => show(find("probe")));
  show(find(kept("tab", "events")));
  return { open: (id, focus = false) => show(find(id), focus) };
}
