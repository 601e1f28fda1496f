// The parts of the panels that need no page: rows, windows, curves, comparisons.
import assert from "node:assert/strict";
import { test } from "node:test";

const web = new URL("../../../src/shoal/serve/web/", import.meta.url);
const load = (name) => import(new URL(name, web));
const { RowError, cellsOf, oddness, rowFromText } = await load("probe_row.js");
const { typicalRow } = await load("probe.js");
const { before, moved, presets, snapped, walk } = await load("time_axis.js");
const { eventText, pairs } = await load("time_compare.js");
const { chartOf, namedKs, nearestK, scaleOfK } = await load("which_k_chart.js");
const { beyond, binned } = await load("outliers.js");

const inputs = [
  { name: "fare", kind: "number", width: 1 },
  { name: "hour", kind: "number", width: 1 },
  { name: "payment", kind: "text", width: 1 },
];
const vector = [{ name: "embedding", kind: "vector", width: 3 }];
const held = { start: 0, end: 7200, bucket: 600, dated: true, levels: [] };

test("one row reads the same from JSON, CSV, tabs and under a header in another order", () => {
  const wanted = { fare: 3.5, hour: 12, payment: "card, gold" };
  const texts = [
    '{"fare": 3.5, "hour": 12, "payment": "card, gold"}',
    '{"row": {"fare": 3.5, "hour": "12", "payment": "card, gold"}}',
    '[{"fare": 3.5, "hour": 12, "payment": "card, gold"}]',
    '[3.5, 12, "card, gold"]',
    '3.5,12,"card, gold"',
    "3.5\t12\tcard, gold",
    'payment,fare,other,hour\r\n"card, gold",3.5,x,12\r\n',
  ];
  for (const text of texts) assert.deepEqual(rowFromText(text, inputs), wanted, text);
});

test("an empty value is null and a quote inside quotes stays", () => {
  assert.deepEqual(rowFromText("3.5,,card", inputs), { fare: 3.5, hour: null, payment: "card" });
  assert.deepEqual(cellsOf('a,"b ""c""",', ","), ["a", 'b "c"', ""]);
});

test("what does not fit is refused with the column", () => {
  assert.throws(() => rowFromText("x,1,card", inputs), (e) => e instanceof RowError && e.column === "fare");
  assert.throws(() => rowFromText("1,2", inputs), /has 2 values, the model takes 3/);
  assert.throws(() => rowFromText('{"fre": 1}', inputs), /none of the model's columns/);
  assert.throws(() => rowFromText("{nonsense", inputs), /not JSON/);
  assert.throws(() => rowFromText("1,2,a\n3,4,b", inputs), /one row/);
  assert.throws(() => rowFromText("  ", inputs), RowError);
});

test("a vector is a list of the model's width, however it is written", () => {
  for (const text of ["[1, -2.5, 3]", "1, -2.5, 3", "1 -2.5 3", '{"embedding": [1, -2.5, 3]}']) {
    assert.deepEqual(rowFromText(text, vector), { embedding: [1, -2.5, 3] }, text);
  }
  assert.throws(() => rowFromText("[1, 2]", vector), /has 2 numbers, the model takes 3/);
  assert.throws(() => rowFromText("[1, 2, null, 4]", vector), RowError);
});

test("a typical row has the centre's numbers and its most frequent category", () => {
  const centre = { fare: 3.14159265, hour: 12, "payment=card": 0.3, "payment=cash": 0.7 };
  assert.deepEqual(typicalRow(inputs, centre), { fare: 3.14159, hour: 12, payment: "cash" });
  assert.deepEqual(typicalRow(inputs, { fare: 1 }), { fare: 1, hour: null, payment: null });
  assert.deepEqual(typicalRow(vector, { a: 1, b: 2, c: 3 }), { embedding: [1, 2, 3] });
});

test("oddness names the share that lies farther out", () => {
  assert.equal(oddness(0.4).word, "ordinary");
  assert.equal(oddness(0.95).text, "farther out than all but 5 %");
  assert.equal(oddness(0.99).text, "farther out than all but 1 %");
  assert.equal(oddness(0.9995).text, "farther out than all but 0.05 %");
  assert.match(oddness(1).text, /than all rows/);
  assert.equal(oddness(null).word, "unknown");
});

test("windows lie on bucket edges, inside what is held, and are never empty", () => {
  assert.deepEqual(snapped({ from: 700, to: 1700 }, held), { from: 600, to: 1800 });
  assert.deepEqual(snapped({ from: 1700, to: 700 }, held), { from: 600, to: 1800 });
  assert.deepEqual(snapped({ from: -50, to: 9e9 }, held), { from: 0, to: 7200 });
  for (const t of [0, 1000, 7200]) {
    const { from, to } = snapped({ from: t, to: t }, held);
    assert.equal(to - from, 600);
    assert.ok(from >= 0 && to <= 7200);
  }
  const short = { start: 100, end: 250, bucket: 600 };
  assert.deepEqual(snapped({ from: 120, to: 130 }, short), { from: 100, to: 250 });
});

test("moving keeps the length and stops at the ends", () => {
  assert.deepEqual(moved({ from: 600, to: 1800 }, 600, held), { from: 1200, to: 2400 });
  assert.deepEqual(moved({ from: 600, to: 1800 }, -9999, held), { from: 0, to: 1200 });
  assert.deepEqual(moved({ from: 600, to: 1800 }, 99999, held), { from: 6000, to: 7200 });
});

test("the window to compare with is as long and lies before, or after where there is no room", () => {
  assert.deepEqual(before({ from: 1800, to: 3000 }, held), { from: 600, to: 1800 });
  assert.deepEqual(before({ from: 600, to: 3000 }, held), { from: 0, to: 600 });
  assert.deepEqual(before({ from: 0, to: 1200 }, held), { from: 1200, to: 2400 });
});

test("presets end at the newest time and leave out what covers everything", () => {
  const found = presets(held);
  assert.deepEqual(found.map((p) => p.label), ["last bucket", "last hour", "all"]);
  assert.ok(found.every(({ span }) => span.to === held.end));
});

test("a walk begins at the start, ends at the end, and takes a bounded number of equal windows", () => {
  for (const end of [7200, 86400 * 30]) {
    const steps = walk({ from: 0, to: 1200 }, { ...held, end });
    assert.equal(steps[0].from, 0);
    assert.equal(steps.at(-1).to, end);
    assert.ok(steps.length <= 62 && steps.every(({ from, to }) => to - from === 1200));
    assert.ok(steps.every((s, i) => i === 0 || s.from > steps[i - 1].from));
  }
});

test("compared clusters are those of either side, by how much they changed", () => {
  const side = (...shares) => ({ clusters: shares.map(([id, share]) => ({ id, share, label: `c${id}` })) });
  const found = pairs(side([1, 0.5], [2, 0.5]), side([2, 0.45], [3, 0.55]));
  assert.deepEqual(found.map((p) => [p.id, p.before, p.after]), [[3, null, 0.55], [1, 0.5, null], [2, 0.5, 0.45]]);
  assert.equal(found[0].known.label, "c3");
  assert.equal(eventText({ kind: "born", text: "", share: 0.25 }), "born, 25 % of the rows");
});

test("a curve spans the picture, leaves a gap where a value is missing, and keeps its order", () => {
  const curve = { ks: [2, 3, 4, 5], values: [1, null, 3, 2], best: 4, title: "", key: "", meaning: "", better: "higher" };
  const chart = chartOf(curve, curve.ks);
  assert.deepEqual(chart.dots.map((d) => d.k), [2, 4, 5]);
  assert.equal(chart.path.match(/M/g).length, 2);
  assert.ok(chart.dots[1].y < chart.dots[2].y && chart.dots[2].y < chart.dots[0].y);
  const flat = chartOf({ ...curve, values: [1, 1, 1, 1] }, curve.ks);
  assert.ok(flat.dots.every((d) => Number.isFinite(d.y)));
});

test("the place of a k finds that k again, on narrow and wide ranges", () => {
  for (const ks of [[2, 3, 4, 5], [2, 4, 8, 16, 32, 64], [7]]) {
    for (const k of ks) assert.equal(nearestK(ks, scaleOfK(ks)(k)), k);
    const named = namedKs(ks);
    assert.equal(named[0], ks[0]);
    assert.equal(named.at(-1), ks.at(-1));
  }
});

test("the threshold keeps the rows beyond it, and counts add up", () => {
  const rows = [{ score: 0.9991 }, { score: 0.994 }, { score: 0.96 }];
  assert.equal(beyond(rows, 1).length, 3);
  assert.deepEqual(beyond(rows, 0.01), rows.slice(0, 2));
  assert.deepEqual(beyond(rows, 0.001), rows.slice(0, 1));
  assert.deepEqual(binned([0, 1, 2, 10, NaN], 5), [2, 1, 0, 0, 1]);
  assert.deepEqual(binned([3], 5), []);
});
