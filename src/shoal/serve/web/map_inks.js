/** Colours and fonts of the theme, as a canvas needs them, and when they change. */

import { el } from "./dom.js";
import { lifted, luminance } from "./map_colour.js";

const NAMES = ["panel", "ink", "soft", "grid", "accent", "ring"];

/** @param {HTMLElement} root @returns {object} colours by name as `#rrggbb`, fonts, and whether the ground is dark */
export function readInks(root) {
  // custom properties may be written in any way; the colour of an element is always resolved
  const probe = root.appendChild(el("span", { hidden: true }));
  const inks = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name}, gray)`;
    inks[name] = hex(getComputedStyle(probe).color);
  }
  const family = getComputedStyle(root).fontFamily;
  probe.remove();
  // a wall is looked at from farther away
  const px = (size) => `${size * (root.clientWidth >= 1000 ? 1.15 : 1)}px ${family}`;
  const fonts = { label: `600 ${px(12.5)}`, bold: `700 ${px(11.5)}`, tiny: `700 ${px(9.5)}`, small: px(11) };
  return { ...inks, ...fonts, isDark: luminance(inks.panel) < 0.2 };
}

/** @param {Map<number, {colour: string}>} clusters @param {object} inks @returns {Map<number, string>} by cluster */
export function shownColours(clusters, inks) {
  return new Map([...clusters].map(([id, { colour }]) => [id, inks.isDark ? lifted(colour ?? inks.soft) : colour ?? inks.soft]));
}

/** Calls `fn` whenever the theme is another; gives what ends that.
 * @param {() => void} fn
 * @returns {() => void}
 */
export function onTheme(fn) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = new MutationObserver(fn);
  system.addEventListener("change", fn);
  chosen.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return () => {
    system.removeEventListener("change", fn);
    chosen.disconnect();
  };
}

function hex(colour) {
  const parts = colour.match(/[\d.]+/g)?.slice(0, 3).map(Number) ?? [128, 128, 128];
  const bytes = colour.startsWith("color(") ? parts.map((v) => v * 255) : parts;
  return `#${bytes.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;
}
