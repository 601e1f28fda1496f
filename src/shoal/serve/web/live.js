/** Keeps the store as the service is: loads a model, then follows its feed. */

import { apiOf, modelApi, openFeed } from "./api.js";
import { settled } from "./dom.js";
import { blank } from "./store.js";

const KEPT_POINTS = 300;
const KEPT_OUTLIERS = 50;
const KEPT_EVENTS = 2000;
const HISTORY_EVERY = 2000;
const LONG_GAP = 5000;
const LOOK_AGAIN = 3000;

/**
 * @param {import("./store.js").Store} store
 * @returns {{show: (model: string) => void}}
 */
export function createLive(store) {
  let feed = null;
  let follow = null;

  function show(model) {
    feed?.close();
    follow?.stop();
    store.api = modelApi(model);
    store.set({ ...blank(), model, connection: "waiting" });
    const mine = loader(store, store.api, model);
    follow = mine;
    mine.all();
    feed = openFeed(model, (kind, data) => message(store, mine, kind, data), (connection, gap) => {
      store.set({ connection });
      if (connection === "live" && gap > LONG_GAP) mine.all();
    });
  }

  return { show };
}

function loader(store, api, model) {
  let stopped = false;
  let timer = 0;
  let historyAt = 0;
  let historyTimer = 0;
  // an answer that comes after another model was chosen is not for this page
  const set = (patch) => !stopped && store.set(patch);

  const scene = oneAtATime(async () => {
    clearTimeout(timer);
    try {
      if (!(await hasVersion())) {
        set({ error: { status: 503, error: "there is no version of this model yet", remedy: "" } });
        timer = setTimeout(all, LOOK_AGAIN);
        return;
      }
      const found = await api.get("scene");
      const { selected } = store.get();
      const still = found.clusters.some((c) => c.id === selected);
      set({ scene: found, outliers: found.outliers, error: null, ...(still ? {} : { selected: null }) });
    } catch (problem) {
      set({ error: { status: problem.status, error: problem.error ?? problem.message, remedy: problem.remedy ?? "" } });
      // the feed need not say when it can be had again
      if (!stopped && (problem.status === 503 || problem.status === 0 || problem.status === 429)) timer = setTimeout(all, LOOK_AGAIN);
    }
  });

  /** The list is asked while there is nothing: it is no error to it, as it is to the model. */
  async function hasVersion() {
    const known = () => store.get().models.find((m) => m.name === model)?.version ?? null;
    if (known() !== null) return true;
    const { models } = await apiOf("/v1").get("models");
    set({ models });
    return known() !== null;
  }

  const history = oneAtATime(async () => {
    historyAt = performance.now();
    const found = await api.get("history").catch(() => null);
    if (found) set({ history: found });
  });

  function historySoon() {
    clearTimeout(historyTimer);
    historyTimer = setTimeout(history, Math.max(0, HISTORY_EVERY - (performance.now() - historyAt)));
  }

  async function events() {
    const found = await api.get("events", { limit: 100 }).catch(() => null);
    if (found) set({ events: joined(store.get().events, found.events), eventsNext: found.next });
  }

  async function all() {
    const isThere = store.get().models.find((m) => m.name === model)?.version != null;
    await Promise.all(isThere ? [scene(), history(), events()] : [scene()]);
    if (!isThere && store.get().scene !== null) await Promise.all([history(), events()]);
  }

  return {
    all, historySoon,
    soon: settled(150, () => (store.get().scene === null ? all() : scene())),
    stop() {
      stopped = true;
      clearTimeout(timer);
      clearTimeout(historyTimer);
    },
  };
}

/** @param {import("./store.js").Store} store */
function message(store, load, kind, data) {
  const state = store.get();
  if (kind === "version") {
    load.soon();
    load.historySoon();
  } else if (kind === "change") store.set({ events: joined(state.events, [data]) });
  else if (kind === "points") points(store, data.points);
  else if (kind === "alarm") {
    const after = state.events[0]?.seq ?? 0;
    store.set({ alarms: [{ ...data, after }, ...state.alarms].slice(0, 100) });
  } else if (kind === "name") renamed(store, load, data.cluster, data.name);
  else if (kind === "gap") load.all();
}

function points(store, fresh) {
  const { recent, outliers } = store.get();
  const born = performance.now();
  const odd = fresh.map((p) => p.outlier).filter(Boolean).reverse();
  store.set({
    recent: [...fresh.map((p) => ({ ...p, born })).reverse(), ...recent].slice(0, KEPT_POINTS),
    ...(odd.length ? { outliers: [...odd, ...outliers].slice(0, KEPT_OUTLIERS) } : {}),
  });
}

function renamed(store, load, id, name) {
  const { scene } = store.get();
  // what a cluster is called without a name is for the service to say
  if (scene === null || name === null) return load.soon();
  store.set({ scene: withName(scene, id, name) });
}

/** The scene with another name for one cluster.
 * @param {object} scene @param {number} id @param {string} name
 */
export function withName(scene, id, name) {
  return { ...scene, clusters: scene.clusters.map((c) => (c.id === id ? { ...c, name, label: name } : c)) };
}

/** Events of both lists, each once, the newest first.
 * @param {object[]} old @param {object[]} fresh
 */
export function joined(old, fresh) {
  const bySeq = new Map([...old, ...fresh].map((e) => [e.seq, e]));
  return [...bySeq.values()].sort((a, b) => b.seq - a.seq).slice(0, KEPT_EVENTS);
}

/** Runs `work` at most once at a time; calls meanwhile are answered by one more run after it. */
function oneAtATime(work) {
  let running = null;
  let again = false;
  return async function run() {
    if (running) {
      again = true;
      return running;
    }
    running = (async () => {
      do {
        again = false;
        await work();
      } while (again);
    })();
    try {
      await running;
    } finally {
      running = null;
    }
  };
}
