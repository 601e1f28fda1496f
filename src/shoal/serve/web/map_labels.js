/** Which labels fit on the map, and where: the largest first, none over another. No DOM. */

/**
 * @typedef {{left: number, top: number, right: number, bottom: number}} Rect
 * @typedef {object} Wanted
 * @property {number} id
 * @property {number} x  middle of the marker
 * @property {number} y
 * @property {number} r  radius of the marker
 * @property {number} width  of the text
 * @property {boolean} [must]  shown even if it covers another label (what is hovered or selected)
 */

export const LINE = 16;
const GAP = 4;
const ASIDE = {
  right: (m) => [m.x + m.r + GAP, m.y - LINE / 2],
  left: (m) => [m.x - m.r - GAP - m.width, m.y - LINE / 2],
  above: (m) => [m.x - m.width / 2, m.y - m.r - GAP / 2 - LINE],
  below: (m) => [m.x - m.width / 2, m.y + m.r + GAP / 2],
};

/** Places labels beside their markers.
 * @param {Wanted[]} wanted most important first
 * @param {Rect} bounds labels stay within
 * @param {object} [options]
 * @param {Rect[]} [options.taken] places that are not free
 * @param {number} [options.most] how many at most, besides those that must be shown
 * @param {number} [options.solid] how many markers, most important first, are not to be covered
 * @param {Map<number, {side: string}>} [options.before] where labels were: they stay there if they still fit
 * @returns {Map<number, {side: string, left: number, top: number}>} by id; those that do not fit are not in it
 */
export function placeLabels(wanted, bounds, options = {}) {
  const { taken = [], most = Infinity, solid = 40, before } = options;
  const full = [...taken];
  const discs = wanted.slice(0, solid).map((m) => ({ id: m.id, rect: around(m) }));
  const placed = new Map();
  let left = most;
  for (const mark of [...wanted.filter((m) => m.must), ...wanted.filter((m) => !m.must)]) {
    if (mark.width <= 0 || (!mark.must && left <= 0)) continue;
    const sides = inOrder(before?.get(mark.id)?.side);
    const rects = sides.map((side) => rectOf(mark, side));
    const fits = (rect) => isWithin(rect, bounds) && full.every((other) => !overlaps(rect, other));
    const clear = (rect) => discs.every((disc) => disc.id === mark.id || !overlaps(rect, disc.rect));
    let at = rects.findIndex((rect) => fits(rect) && clear(rect));
    if (at < 0 && mark.must) at = Math.max(0, rects.findIndex((rect) => isWithin(rect, bounds)));
    if (at < 0) continue;
    full.push(grown(rects[at]));
    placed.set(mark.id, { side: sides[at], left: rects[at].left, top: rects[at].top });
    if (!mark.must) left -= 1;
  }
  return placed;
}

/** Left upper corner of a label that stays on its side while its marker moves.
 * @param {Wanted} mark
 * @param {string} side
 * @returns {[number, number]}
 */
export function beside(mark, side) {
  return ASIDE[side](mark);
}

/** A text cut to at most `most` characters: after whole parts where it is a list (`a · b · c`), else at a space.
 * @param {string} text
 * @param {number} [most]
 */
export function short(text, most = 22) {
  if ([...text].length <= most) return text;
  const parts = text.split(" · ");
  while (parts.length > 1) {
    parts.pop();
    if ([...parts.join(" · ")].length <= most) return parts.join(" · ");
  }
  const cut = [...parts[0]].slice(0, most - 1).join("");
  const space = cut.lastIndexOf(" ");
  return `${(space > most * 0.6 ? cut.slice(0, space) : cut).replace(/[\s,;:–·-]+$/u, "")}…`;
}

/** @param {Rect} a @param {Rect} b */
export function overlaps(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function inOrder(first) {
  const sides = Object.keys(ASIDE);
  return first === undefined ? sides : [first, ...sides.filter((side) => side !== first)];
}

function rectOf(mark, side) {
  const [left, top] = beside(mark, side);
  return { left, top, right: left + mark.width, bottom: top + LINE };
}

function grown({ left, top, right, bottom }) {
  return { left: left - GAP, top: top - 1, right: right + GAP, bottom: bottom + 1 };
}

function around({ x, y, r }) {
  return { left: x - r, top: y - r, right: x + r, bottom: y + r };
}

function isWithin(rect, bounds) {
  return rect.left >= bounds.left && rect.right <= bounds.right && rect.top >= bounds.top && rect.bottom <= bounds.bottom;
}
