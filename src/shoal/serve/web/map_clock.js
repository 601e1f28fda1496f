/** Moves that take a while, and frames only while there are any. No DOM. */

/**
 * @param {object} [means] how frames and time are had (for tests)
 * @param {() => number} [means.now]
 * @param {(fn: () => void) => void} [means.frame]
 * @param {(fn: () => void, ms: number) => number} [means.later]
 * @param {(timer: number) => void} [means.forget]
 */
export function createClock(means = {}) {
  const now = means.now ?? (() => performance.now());
  const frame = means.frame ?? ((fn) => requestAnimationFrame(fn));
  const later = means.later ?? ((fn, ms) => setTimeout(fn, ms));
  const forget = means.forget ?? ((timer) => clearTimeout(timer));
  const spans = new Map();
  let asked = false;
  let timer = 0;
  let paint = () => {};
  // one time for all of a frame: a move that ends must be drawn at its end before it is dropped
  let frozen = null;

  function run() {
    asked = false;
    forget(timer);
    frozen = now();
    const slowly = paint();
    for (const [name, { start, ms }] of spans) if (frozen - start >= ms) spans.delete(name);
    frozen = null;
    if (spans.size > 0) wake();
    // what only fades looks the same at four frames a second
    else if (slowly) timer = later(wake, 250);
  }

  function wake() {
    if (asked) return;
    asked = true;
    frame(run);
  }

  return {
    now,
    wake,
    /** @param {() => boolean} fn  draws everything; true if it will have to be drawn again before long */
    onFrame(fn) {
      paint = fn;
    },
    /** @param {string} name @param {number} ms  starts, or starts again */
    start(name, ms) {
      if (ms > 0) spans.set(name, { start: now(), ms });
      else spans.delete(name);
      wake();
    },
    /** @param {string} name */
    stop(name) {
      spans.delete(name);
    },
    /** How far a move is, 0..1; 1 also when there is none.
     * @param {string} name
     */
    part(name) {
      const span = spans.get(name);
      return span ? Math.min(1, Math.max(0, ((frozen ?? now()) - span.start) / span.ms)) : 1;
    },
    end() {
      paint = () => false;
      spans.clear();
      forget(timer);
    },
  };
}
