/** Order and filter of the list, events joined, the feed parsed, the store. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { messageParser } from "../../../src/shoal/serve/web/api.js";
import { bornAt, growth, matches, ordered, settledOrder } from "../../../src/shoal/serve/web/cluster_order.js";
import { entriesOf } from "../../../src/shoal/serve/web/feed_entries.js";
import { joined, withName } from "../../../src/shoal/serve/web/live.js";
import { createStore } from "../../../src/shoal/serve/web/store.js";

const cluster = (id, share, more = {}) => ({ id, label: `cluster ${id}`, share, history: [], ...more });

test("the order by size is the largest first, and the same for equals", () => {
  assert.deepEqual(ordered([cluster(3, 0.2), cluster(1, 0.2), cluster(2, 0.6)], "size"), [2, 1, 3]);
});

test("a list does not shuffle when neighbours swap", () => {
  assert.deepEqual(settledOrder([1, 2, 3, 4], [2, 1, 4, 3]), [1, 2, 3, 4]);
});

test("a cluster that moves far is moved", () => {
  assert.deepEqual(settledOrder([1, 2, 3, 4], [4, 1, 2, 3]), [4, 1, 2, 3]);
});

test("new clusters come in where they belong, and those gone leave", () => {
  assert.deepEqual(settledOrder([1, 2, 3], [1, 9, 3]), [1, 9, 3]);
});

test("the order never loses or doubles a cluster", () => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 200; round++) {
    const shuffled = (n) => Array.from({ length: n }, (_, i) => i).sort(() => random() - 0.5).slice(0, 1 + Math.floor(random() * n));
    const wanted = shuffled(12);
    assert.deepEqual(settledOrder(shuffled(12), wanted).toSorted((a, b) => a - b), wanted.toSorted((a, b) => a - b));
  }
});

test("growth is against the earlier half", () => {
  assert.ok(growth(cluster(1, 0.5, { history: [[0, 0.1], [1, 0.2], [2, 0.5], [3, 0.5]] })) > 0.3);
  assert.equal(growth(cluster(1, 0.5)), 0);
});

test("birth is told by events, else by the history", () => {
  const events = [{ kind: "split", cluster: 1, time: 5, children: [1, 2] }];
  assert.equal(bornAt(cluster(2, 0.1, { history: [[9, 0.1]] }), events), 5);
  assert.equal(bornAt(cluster(3, 0.1, { history: [[9, 0.1]] }), events), 9);
  assert.equal(bornAt(cluster(3, 0.1), events), null);
});

test("a filter wants every word, wherever it stands", () => {
  const one = cluster(4, 0.1, { keywords: ["Login", "password"], traits: [{ label: "income", text: "income 5, higher" }] });
  assert.ok(matches(one, "password INCOME"));
  assert.ok(matches(one, "  "));
  assert.ok(!matches(one, "password age"));
});

test("events that come twice are kept once, the newest first", () => {
  assert.deepEqual(joined([{ seq: 2 }, { seq: 1 }], [{ seq: 3 }, { seq: 2 }]).map((e) => e.seq), [3, 2, 1]);
});

test("a name changes one cluster and leaves the old scene as it was", () => {
  const scene = { clusters: [cluster(1, 0.5), cluster(2, 0.5)] };
  assert.deepEqual(withName(scene, 2, "fish").clusters.map((c) => c.label), ["cluster 1", "fish"]);
  assert.equal(scene.clusters[1].label, "cluster 2");
});

test("messages are whole, however the pieces are cut", () => {
  const stream = 'retry: 2000\r\n\r\n: quiet\r\n\r\nid: 7\r\nevent: change\r\ndata: {"a":\r\ndata: 1}\r\n\r\nevent: bad\r\ndata: {\r\n\r\nid: 8\ndata:2\n\n';
  for (let size = 1; size < 12; size++) {
    const found = [];
    const parse = messageParser((kind, data, id) => found.push([kind, data, id]));
    for (let i = 0; i < stream.length; i += size) parse(stream.slice(i, i + size));
    assert.deepEqual(found, [["change", { a: 1 }, "7"], ["bad", null, ""], ["message", 2, "8"]]);
  }
});

test("a store tells once for many changes, and only those who asked", () => {
  const waiting = [];
  const store = createStore((fn) => waiting.push(fn));
  const heard = [];
  store.on(["selected"], (state) => heard.push(state.selected));
  const off = store.on(["hovered"], () => heard.push("hovered"));
  store.set({ selected: 1 });
  store.set({ selected: 2, hovered: null });
  assert.equal(waiting.length, 1);
  waiting.pop()();
  assert.deepEqual(heard, [2]);
  off();
  store.set({ hovered: 3, selected: 2 });
  waiting.pop()();
  assert.deepEqual(heard, [2]);
});

test("many of a kind at one moment are one entry, and alarms stand where they came", () => {
  const births = [0, 1, 2, 3, 4].map((i) => ({ seq: i + 1, kind: "born", time: 7, cluster: i, text: `cluster ${i} born` }));
  const events = [...births, { seq: 6, kind: "died", time: 9, cluster: 1, text: "cluster 1 died" }];
  const alarms = [{ time: 8, text: "income rose", after: 5 }];
  const found = entriesOf(events, alarms, new Set(["born", "died", "alarm"]));
  assert.deepEqual(found.map((e) => e.text), ["Cluster 1 died", "Income rose", "5 clusters were born"]);
  assert.deepEqual(found[2].ids.toSorted(), [0, 1, 2, 3, 4]);
  assert.deepEqual(entriesOf(events, alarms, new Set(["died"])).map((e) => e.kind), ["died"]);
});
