/** Bands of shares over time. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { bandAt, bandOrder, bandPath, largest, middle, parentsOf, placeOf, stack, stretches } from "../../../src/shoal/serve/web/lineage_geometry.js";
import { sparkPath } from "../../../src/shoal/serve/web/sparkline.js";

const HISTORY = { dated: false, times: [10, 20, 30], ids: [1, 2, 3, 9], shares: [[0.6, 0.4, 0, 0], [0.5, 0.2, 0.3, 0], [0.5, 0, 0.5, 0]] };

test("bands fill the whole, without gaps between them", () => {
  const bands = stack(HISTORY, [1, 3, 2]);
  bands.slice(1).forEach((band, i) => assert.deepEqual(band.low, bands[i].high));
  assert.deepEqual(bands[0].low, [0, 0, 0]);
  bands.at(-1).high.forEach((top) => assert.ok(Math.abs(top - 1) < 1e-12));
});

test("clusters that are not drawn are one band, so that nothing is lost", () => {
  const bands = stack(HISTORY, [1]);
  assert.deepEqual(bands.map((band) => band.id), [1, null]);
  assert.ok(Math.abs(bands[1].high[1] - 1) < 1e-12);
});

test("what splits off lies beside its parent", () => {
  const parents = parentsOf([{ kind: "split", cluster: 1, parents: [], children: [1, 7] }, { kind: "grew", cluster: 2, children: [] }]);
  assert.deepEqual([...parents], [[7, 1]]);
  assert.deepEqual(bandOrder([1, 2, 3, 7], parents), [1, 7, 2, 3]);
});

test("ids that are one another's parents end", () => {
  assert.deepEqual(bandOrder([1, 2], new Map([[1, 2], [2, 1]])).sort(), [1, 2]);
});

test("the largest are chosen by their peak, and the selected one is always there", () => {
  assert.deepEqual(largest(HISTORY, 2), [1, 3]);
  assert.deepEqual(largest(HISTORY, 1, 2), [1, 2]);
  assert.ok(!largest(HISTORY, 9).includes(9), "a cluster that never had a share has no band");
});

test("a band that comes and goes has a piece for each time it is there", () => {
  const band = { id: 1, low: [0, 0, 0, 0, 0], high: [1, 0, 0, 0, 1] };
  assert.deepEqual(stretches(band), [[0, 1], [3, 4]]);
  assert.equal(bandPath(band, [0, 1, 2, 3, 4], (s) => s).split("M").length - 1, 2);
});

test("places among times", () => {
  assert.deepEqual([5, 10, 19, 20, 99].map((t) => placeOf(HISTORY.times, t)), [0, 0, 0, 1, 2]);
});

test("the middle of a band is looked for on the side where it is there", () => {
  const [, , two] = stack(HISTORY, [1, 3, 2]);
  assert.equal(middle(two, HISTORY.times, 30, -1).i, 1);
  assert.equal(middle(two, HISTORY.times, 30, 1), null);
});

test("a height of the stack finds its band", () => {
  const bands = stack(HISTORY, [1, 3, 2]);
  assert.equal(bandAt(bands, 1, 0.55).id, 3);
  assert.equal(bandAt(bands, 1, 1.5), null);
});

test("a sparkline stays inside its box and needs two times", () => {
  assert.equal(sparkPath([[0, 0.5]]), "");
  const numbers = sparkPath([[0, 0.1], [5, 0.4], [10, 0]]).slice(1).split("L").map((p) => p.split(" ").map(Number));
  assert.ok(numbers.every(([x, y]) => x >= 0 && x <= 64 && y >= 0 && y <= 18));
  assert.ok(numbers[1][1] < numbers[0][1], "a larger share is higher up");
});
