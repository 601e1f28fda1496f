/** What a cluster is called and which colour it has, also when it is gone. */

const seen = new Map();

/** @param {object} state @param {number} id @returns {{label: string, colour: string, isGone: boolean}} */
export function clusterOf({ scene, model }, id) {
  const cluster = lookup(scene, model).get(id);
  if (cluster) return { label: cluster.label, colour: cluster.colour, isGone: false };
  const before = seen.get(`${model}/${id}`);
  return { label: before?.label ?? `cluster ${id}`, colour: before?.colour ?? faded(id), isGone: true };
}

let lookedUp = null;
let byId = new Map();

/** Clusters of a scene by id, made once for each scene; they are remembered for when they are gone. */
function lookup(scene, model) {
  if (scene !== lookedUp) {
    lookedUp = scene;
    byId = new Map((scene?.clusters ?? []).map((c) => [c.id, c]));
    for (const cluster of byId.values()) seen.set(`${model}/${cluster.id}`, cluster);
  }
  return byId;
}

/** A dull colour for a cluster that was gone before this page was opened: told from its neighbours, and from those alive. */
function faded(id) {
  return `oklch(0.66 0.045 ${((id * 137.508) % 360).toFixed(0)})`;
}
