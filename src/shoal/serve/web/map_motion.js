/** How markers get from one picture of the model to the next. No DOM. */

/**
 * @typedef {object} Mark
 * @property {number} id
 * @property {[number, number]} at  chart units
 * @property {number} r  pixels
 * @property {number} [alpha]  1 unless it is coming or going
 * @property {number} [ring]  how far the ring around a new one has faded: 1 at the start, 0 at the end
 */

/** Plans the way from the markers that are shown to those that are wanted.
 * @param {Mark[]} shown as they are drawn now, perhaps in the middle of an earlier move
 * @param {Mark[]} wanted
 * @param {(id: number) => number | undefined} [parentOf] what a new one came out of: it starts from there
 * @returns {{mark: Mark, from: Mark | null, leaving: boolean}[]}
 */
export function planMoves(shown, wanted, parentOf = () => undefined) {
  const now = new Map(shown.map((mark) => [mark.id, mark]));
  const staying = new Set(wanted.map((mark) => mark.id));
  const moves = wanted.map((mark) => {
    const old = now.get(mark.id);
    if (old !== undefined) return { mark, from: old, leaving: false };
    const parent = now.get(parentOf(mark.id));
    return { mark, from: { ...mark, at: parent?.at ?? mark.at, r: 0, alpha: 0, ring: 1 }, leaving: false };
  });
  const gone = shown.filter((mark) => !staying.has(mark.id) && (mark.alpha ?? 1) > 0.02);
  // those that go are drawn first, beneath the rest
  return [...gone.map((mark) => ({ mark, from: mark, leaving: true })), ...moves];
}

/** The markers part of the way.
 * @param {ReturnType<typeof planMoves>} moves
 * @param {number} t 0..1, eased
 * @returns {Mark[]}
 */
export function marksAt(moves, t) {
  if (t >= 1) return moves.filter((move) => !move.leaving).map((move) => move.mark);
  return moves.map(({ mark, from, leaving }) => {
    if (leaving) return { ...mark, alpha: (from.alpha ?? 1) * (1 - t), ring: 0 };
    const alpha = from.alpha ?? 1;
    return {
      ...mark,
      at: [mix(from.at[0], mark.at[0], t), mix(from.at[1], mark.at[1], t)],
      r: mix(from.r, mark.r, t),
      alpha: mix(alpha, 1, t),
      ring: (from.ring ?? 0) * (1 - t),
    };
  });
}

/** Who split or was born out of whom, as the newest events tell.
 * @param {{kind: string, cluster: number, parents?: number[], children?: number[]}[]} events newest first
 * @returns {(id: number) => number | undefined}
 */
export function parents(events) {
  const known = new Map();
  for (const event of events.slice(0, 50)) {
    for (const child of event.children ?? []) if (child !== event.cluster && !known.has(child)) known.set(child, event.cluster);
    const parent = event.parents?.[0];
    if (parent !== undefined && parent !== event.cluster && !known.has(event.cluster)) known.set(event.cluster, parent);
  }
  return (id) => known.get(id);
}

function mix(a, b, t) {
  return a + (b - a) * t;
}
