/** Elements made in one expression; text goes in as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {object | null} [props] `class`, `style` (an object of CSS properties), `dataset`, `onclick` and other
 *   handlers, attributes; true is an attribute without a value, false, null and undefined are left out
 * @param {...(Node | string | number | null | undefined | false | Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** As {@link el}, for drawings.
 * @param {string} tag
 * @param {object | null} [attrs]
 * @param {...any} children
 * @returns {SVGElement}
 */
export function svg(tag, attrs, ...children) {
  return filled(document.createElementNS(SVG, tag), attrs, children);
}

/** Puts children in the place of those that are there.
 * @param {Element} parent
 * @param {...any} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter(isShown).map(toNode));
}

/** Calls `fn` once things have been quiet for `ms`.
 * @template {any[]} A
 * @param {number} ms
 * @param {(...args: A) => void} fn
 * @returns {(...args: A) => void}
 */
export function settled(ms, fn) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => fn(...args), ms);
  };
}

/** A value kept in this browser, or `fallback`; a browser that keeps nothing is no error.
 * @param {string} key
 * @param {string | null} [fallback]
 */
export function kept(key, fallback = null) {
  try {
    return localStorage.getItem(`shoal.${key}`) ?? fallback;
  } catch {
    return fallback;
  }
}

/** @param {string} key @param {string | null} value null forgets it */
export function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(`shoal.${key}`);
    else localStorage.setItem(`shoal.${key}`, value);
  } catch {
    // private windows may refuse; the page works without
  }
}

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") {
      for (const [key, v] of Object.entries(value)) node.style.setProperty(key, String(v));
    } else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2).toLowerCase(), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) if (isShown(child)) node.append(toNode(child));
  return node;
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}

function toNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}
