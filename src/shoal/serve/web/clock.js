/** What time it is for a model: times of its rows, not of the wall. */

/** Whether times are dates, and the newest one that is known.
 * @param {object} state
 * @returns {{dated: boolean, now: number | null}}
 */
export function clock({ scene, history }) {
  return {
    dated: Boolean(scene?.dated || history?.dated),
    now: scene?.now ?? history?.times.at(-1) ?? null,
  };
}
