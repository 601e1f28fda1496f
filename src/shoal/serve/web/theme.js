/** Light, dark, or as the system has it. */

import { keep, kept } from "./dom.js";

const system = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** The theme that is shown now: "light" or "dark". */
export function theme() {
  return document.documentElement.dataset.theme || system();
}

/** @param {HTMLButtonElement} button @returns {{toggle: () => void}} */
export function createTheme(button) {
  const root = document.documentElement;

  function show(choice) {
    if (choice) root.dataset.theme = choice;
    else delete root.dataset.theme;
    const other = theme() === "dark" ? "light" : "dark";
    button.title = `Switch to the ${other} theme (d)`;
    button.setAttribute("aria-label", button.title);
    // a canvas does not follow style sheets by itself
    document.dispatchEvent(new CustomEvent("shoal:theme", { detail: { theme: theme() } }));
  }

  function toggle() {
    const next = theme() === "dark" ? "light" : "dark";
    // what the system has anyway need not be kept: the page then goes on following it
    const choice = next === system() ? null : next;
    keep("theme", choice);
    show(choice);
  }

  button.addEventListener("click", toggle);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(kept("theme")));
  show(kept("theme"));
  return { toggle };
}
