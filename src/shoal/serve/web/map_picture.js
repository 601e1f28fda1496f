/** What the map shows of the page's state: markers, points and what belongs to the mode of the view. No DOM. */

/**
 * @typedef {object} Picture
 * @property {string} place  another when positions cannot be compared with those before
 * @property {object} chart
 * @property {"live" | "solve" | "window" | "compare"} mode
 * @property {import("./map_motion.js").Mark[]} marks  the largest first
 * @property {import("./map_motion.js").Mark[]} ghosts  where clusters were before (when comparing)
 * @property {Map<number, object>} clusters  by id; when comparing, those that were there before, too
 * @property {{x: Float64Array, y: Float64Array, cluster: Int32Array, weight: Float32Array, size: Float32Array, n: number}} points
 */

const LEAST = [[20, 8.5], [60, 6], [150, 4.5], [Infinity, 3.5]];
const MOST = 30;

// points of a solve are told by their order in the scene of the version that was solved
const solvedPoints = new WeakMap();

/**
 * @param {object} state of the store
 * @returns {Picture | null} null while there is nothing to show
 */
export function pictureOf(state) {
  const { scene } = state;
  if (!scene?.chart) return null;
  const view = state.view?.data ? state.view : { mode: "live" };
  const base = { place: `${scene.model}/${scene.chart.id}`, chart: scene.chart, mode: view.mode, ghosts: [] };
  if (view.mode === "compare") return compared(base, view.data);
  const clusters = view.mode === "live" ? scene.clusters : view.data.clusters;
  const rows = view.mode === "live" ? scene.points : view.mode === "window" ? view.data.points : solved(scene, view.data);
  return { ...base, marks: marksOf(clusters), clusters: byId(clusters), points: pointsOf(rows) };
}

/** What a marker's label says: a given name, a topic's name, the first keyword; else only the number.
 * @param {object} cluster
 */
export function titleOf(cluster) {
  if (cluster.name) return cluster.name;
  if (cluster.label && !isNumberOnly(cluster)) return cluster.label;
  return cluster.keywords?.[0] ?? numberOf(cluster);
}

/** What fits within a marker; clusters that are only proposed have no number.
 * @param {object} cluster
 */
export function numberOf(cluster) {
  return cluster.id >= 0 ? String(cluster.id) : "+";
}

/** Whether the label says no more than the number.
 * @param {object} cluster
 */
export function isNumberOnly(cluster) {
  return !cluster.name && new RegExp(`^(cluster )?${cluster.id}$`, "i").test(cluster.label ?? String(cluster.id));
}

/** Markers, the largest first; the area is as the share, down to a size that can still be hit.
 * @param {object[]} clusters
 * @returns {import("./map_motion.js").Mark[]}
 */
export function marksOf(clusters) {
  const least = LEAST.find(([k]) => clusters.length <= k)[1];
  return clusters
    .filter((c) => isPlace(c.at))
    .map((c) => ({ id: c.id, at: c.at, share: c.share ?? 0, r: Math.min(MOST, Math.max(least, 46 * Math.sqrt(c.share ?? 0))) }))
    .sort((a, b) => b.share - a.share || a.id - b.id);
}

/** Points in columns, with the radius of each in pixels: 64 times the weight is twice the radius.
 * @param {[number, number, number, number][]} rows
 */
export function pointsOf(rows) {
  const shown = rows.filter(isPlace);
  const weights = shown.map((row) => row[3] ?? 1).sort((a, b) => a - b);
  const usual = weights[weights.length >> 1] || 1;
  const base = shown.length <= 300 ? 3 : shown.length <= 1000 ? 2.5 : 2.1;
  return {
    n: shown.length,
    x: Float64Array.from(shown, (row) => row[0]),
    y: Float64Array.from(shown, (row) => row[1]),
    cluster: Int32Array.from(shown, (row) => row[2]),
    weight: Float32Array.from(shown, (row) => row[3] ?? 1),
    size: Float32Array.from(shown, (row) => base * Math.min(2, Math.max(0.7, ((row[3] ?? 1) / usual) ** (1 / 6)))),
  };
}

/** How a picture is said in one line, for those who do not see it.
 * @param {Picture | null} picture
 */
export function said(picture) {
  if (picture === null) return "Map: there is no model yet";
  const k = picture.marks.length;
  const parts = [`Map of ${k} ${k === 1 ? "cluster" : "clusters"}`];
  if (picture.mode === "solve") parts.push("as solved from the summary");
  if (picture.mode === "window") parts.push("in a window of time");
  if (picture.mode === "compare") parts.push("compared with an earlier window");
  const { kind, x, y } = picture.chart;
  if (kind !== "landmarks" && x) parts.push(y ? `${x} to the right, ${y} upwards` : `${x} to the right`);
  return parts.join(", ");
}

function compared(base, { before, after }) {
  const ghosts = marksOf(before.clusters);
  return {
    ...base,
    marks: marksOf(after.clusters),
    ghosts,
    clusters: byId([...before.clusters, ...after.clusters]),
    points: pointsOf(after.points),
  };
}

function solved(scene, data) {
  let rows = solvedPoints.get(data);
  if (rows === undefined) {
    const same = data.points?.length === scene.points.length;
    rows = same ? scene.points.map(([x, y, , weight], i) => [x, y, data.points[i], weight]) : [];
    solvedPoints.set(data, rows);
  }
  return rows;
}

function byId(clusters) {
  return new Map(clusters.map((c) => [c.id, c]));
}

function isPlace(at) {
  return Array.isArray(at) && Number.isFinite(at[0]) && Number.isFinite(at[1]);
}
