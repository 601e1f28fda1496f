/** Starts the page: picks a model, wires the parts to one store. */

import { apiOf } from "./api.js";
import { createClusters } from "./clusters.js";
import { createFeed } from "./feed.js";
import { createFrame } from "./frame.js";
import { createHelp } from "./help.js";
import { createKeys } from "./keys.js";
import { createLineage } from "./lineage.js";
import { createLive } from "./live.js";
import { createMap } from "./map.js";
import { createOutliers } from "./outliers.js";
import { createProbe } from "./probe.js";
import { createStore } from "./store.js";
import { createTabs } from "./tabs.js";
import { createTheme } from "./theme.js";
import { createTime } from "./time.js";
import { askForToken, tokenFromAddress } from "./token.js";
import { createWhichK } from "./which_k.js";

const PARTS = [
  ["map", createMap],
  ["clusters", createClusters],
  ["lineage", createLineage],
  ["events", createFeed],
  ["outliers", createOutliers],
  ["which-k", createWhichK],
  ["time", createTime],
  ["probe", createProbe],
];
const at = (id) => document.getElementById(id);

async function start() {
  const { toggle } = createTheme(at("theme"));
  const help = createHelp(at("help"));
  const store = createStore();
  const live = createLive(store);
  createFrame(store, live.show);

  tokenFromAddress();
  store.set({ session: await session() });
  const { models } = await persist(() => apiOf("/v1").get("models"), store);
  store.set({ models });

  const tabs = createTabs(document.querySelector(".tabs"));
  createKeys(store, { tabs, theme: toggle, help });
  let parts = [];
  // parts keep drafts and drawings of the model they show; another model gets new ones
  store.on(["model"], () => {
    for (const part of parts) part?.destroy?.();
    for (const [id] of PARTS) at(id).replaceChildren();
    parts = PARTS.map(([id, create]) => made(create, at(id), store));
  });
  const wanted = new URLSearchParams(location.search).get("model");
  const first = models.find((m) => m.name === wanted) ?? models.find((m) => m.version !== null) ?? models[0];
  if (first) live.show(first.name);
  else store.set({ error: { error: "This service has no models." } });
}

/** One part that cannot start must not keep the others from it. */
function made(create, root, store) {
  try {
    return create(root, store);
  } catch (problem) {
    console.error(problem);
    root.textContent = "This part of the page could not start; the console of the browser says why.";
    return null;
  }
}

async function session() {
  const ask = () => apiOf("/v1").get("session");
  const found = await persist(ask);
  return found.read ? found : askForToken(ask);
}

/** Asks again, ever more rarely, while the service cannot be reached. */
async function persist(ask, store = null) {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (problem) {
      if (problem.status >= 400 && problem.status < 500) throw problem;
      store?.set({ connection: "lost" });
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000 * 2 ** tries, 15_000)));
    }
  }
}

start().catch((problem) => {
  console.error(problem);
  const place = at("nothing");
  place.hidden = false;
  place.textContent = `The page could not start: ${problem.message}`;
});
