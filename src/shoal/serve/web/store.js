/** What the page knows, and who wants to hear when it changes. */

/**
 * @typedef {object} Store
 * @property {() => object} get  the state as it is now
 * @property {(patch: object) => void} set  merges a patch; subscribers hear once per animation frame
 * @property {(keys: string[], fn: (state: object, changed: Set<string>) => void) => (() => void)} on
 * @property {import("./api.js").ModelApi | null} api  requests for the model that is shown
 */

const START = {
  models: [],
  model: null,
  session: null,
  scene: null,
  history: null,
  events: [],
  eventsNext: null,
  alarms: [],
  selected: null,
  hovered: null,
  focusPoint: null,
  view: { mode: "live" },
  recent: [],
  outliers: [],
  probe: null,
  connection: "waiting",
  error: null,
};

/** What belongs to one model, as it is before anything of it is loaded. */
export function blank() {
  const { models, session, connection, ...own } = START;
  return { ...own, events: [], alarms: [], recent: [], outliers: [], view: { mode: "live" } };
}

/**
 * @param {(fn: () => void) => void} [later] how a change waits for the next frame (for tests)
 * @returns {Store}
 */
export function createStore(later = nextFrame) {
  let state = { ...START };
  let changed = new Set();
  const listeners = new Set();

  function tell() {
    const now = changed;
    changed = new Set();
    for (const listener of [...listeners]) {
      if (!listener.keys.some((key) => now.has(key))) continue;
      // one part that fails must not leave the others with what was
      try {
        listener.fn(state, now);
      } catch (problem) {
        console.error(problem);
      }
    }
  }

  return {
    api: null,
    get: () => state,
    set(patch) {
      const fresh = Object.keys(patch).filter((key) => !Object.is(patch[key], state[key]));
      if (fresh.length === 0) return;
      state = { ...state, ...patch };
      if (changed.size === 0) later(tell);
      for (const key of fresh) changed.add(key);
    },
    on(keys, fn) {
      const listener = { keys, fn };
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function nextFrame(fn) {
  // a hidden page gets no frames, but its state should not pile up until it is looked at again
  if (document.hidden) setTimeout(fn, 250);
  else requestAnimationFrame(fn);
}
