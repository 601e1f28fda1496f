/** What the feed shows: events and alarms in one list, many of a kind at one moment as one. */

/** @typedef {{key: string, kind: string, time: number | null, text: string, ids: number[]}} Entry */

const TOGETHER = 4; // as many of one kind at one moment are one entry

/** The newest first; an alarm stands above the events that were known when it came.
 * @param {object[]} events
 * @param {object[]} alarms
 * @param {Set<string>} kinds the kinds to show
 * @param {boolean} [texts] clusters are topics
 * @returns {Entry[]}
 */
export function entriesOf(events, alarms, kinds, texts = false) {
  const all = [
    ...events.map((e) => ({ ...e, key: `e${e.seq}`, place: e.seq })),
    ...alarms.map((a, i) => ({ ...a, kind: "alarm", key: `a${alarms.length - i}/${a.time}`, place: a.after + 0.5 })),
  ].filter((e) => kinds.has(e.kind)).sort((a, b) => b.place - a.place);
  return runs(all).flatMap((run) => (run.length < TOGETHER ? run.map(single) : [together(run, texts)]));
}

/** Neighbours of one kind at one moment. */
function runs(all) {
  const found = [];
  for (const e of all) {
    const run = found.at(-1);
    if (run && run[0].kind === e.kind && run[0].time === e.time && e.kind !== "alarm") run.push(e);
    else found.push([e]);
  }
  return found;
}

function single({ key, kind, time, text = "", cluster, parents = [], children = [] }) {
  const ids = [...new Set([cluster, ...parents, ...children])].filter((id) => id !== null && id !== undefined);
  return { key, kind, time: time ?? null, text: text.charAt(0).toLocaleUpperCase() + text.slice(1), ids };
}

const VERBS = { born: "were born", split: "split", merged: "merged", died: "died", grew: "grew", shrank: "shrank", moved: "moved" };

function together(run, texts) {
  const { kind, time } = run[0];
  const ids = [...new Set(run.map((e) => e.cluster))];
  const text = `${run.length} ${texts ? "topics" : "clusters"} ${VERBS[kind] ?? kind}`;
  return { key: `g${run[0].seq}-${run.at(-1).seq}${texts ? "t" : ""}`, kind, time: time ?? null, text, ids };
}
