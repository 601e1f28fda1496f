import assert from "node:assert/strict";
import { test } from "node:test";

import { LINE, beside, overlaps, placeLabels, short } from "../../../src/shoal/serve/web/map_labels.js";

const BOUNDS = { left: 0, top: 0, right: 700, bottom: 500 };

function crowd(k, spread = 1) {
  let state = 17;
  const next = () => (state = (state * 48271) % 2147483647) / 2147483647;
  return Array.from({ length: k }, (_, id) => ({ id, x: 350 + (next() - 0.5) * 700 * spread, y: 250 + (next() - 0.5) * 500 * spread, r: 4, width: 20 + next() * 90 }));
}

function rects(wanted, placed) {
  const byId = new Map(wanted.map((mark) => [mark.id, mark]));
  return [...placed].map(([id, { left, top }]) => ({ id, left, top, right: left + byId.get(id).width, bottom: top + LINE }));
}

test("no label lies over another, over the largest markers or outside", () => {
  for (const [k, spread] of [[5, 0.2], [40, 1], [500, 0.8]]) {
    const wanted = crowd(k, spread);
    const boxes = rects(wanted, placeLabels(wanted, BOUNDS));
    assert.ok(boxes.length > 0);
    for (const [i, box] of boxes.entries()) {
      assert.ok(boxes.slice(i + 1).every((other) => !overlaps(box, other)));
      assert.ok(box.left >= 0 && box.right <= 700 && box.top >= 0 && box.bottom <= 500);
      for (const { id, x, y, r } of wanted.slice(0, 40)) {
        assert.ok(id === box.id || !overlaps(box, { left: x - r, right: x + r, top: y - r, bottom: y + r }));
      }
    }
  }
});

test("the most important label is placed first, and at most so many are", () => {
  const wanted = crowd(500);
  const placed = placeLabels(wanted, BOUNDS, { most: 12 });
  assert.equal(placed.size, 12);
  assert.ok(placed.has(0));
});

test("places that are taken stay free", () => {
  const taken = [{ left: 300, top: 0, right: 700, bottom: 500 }];
  const wanted = crowd(60);
  assert.ok(rects(wanted, placeLabels(wanted, BOUNDS, { taken })).every((box) => !overlaps(box, taken[0])));
});

test("what is hovered or selected has its label even in a crowd", () => {
  const wanted = crowd(500, 0.1);
  assert.ok(!placeLabels(wanted, BOUNDS).has(499));
  wanted[499].must = true;
  assert.ok(placeLabels(wanted, BOUNDS, { most: 0 }).has(499));
});

test("a label stays on its side as long as it fits there", () => {
  const mark = { id: 1, x: 350, y: 250, r: 5, width: 40 };
  const before = new Map([[1, { side: "above" }]]);
  assert.equal(placeLabels([mark], BOUNDS, { before }).get(1).side, "above");
  assert.equal(placeLabels([{ ...mark, y: 8 }], BOUNDS, { before }).get(1).side, "right");
});

test("a label goes along with its marker", () => {
  const mark = { id: 1, x: 350, y: 250, r: 5, width: 40 };
  const [left, top] = beside(mark, "left");
  assert.deepEqual(beside({ ...mark, x: 360, y: 240 }, "left"), [left + 10, top - 10]);
});

test("markers without a text get no label", () => {
  assert.equal(placeLabels([{ id: 1, x: 50, y: 50, r: 5, width: 0 }], BOUNDS).size, 0);
});

test("long texts are cut after whole words or parts, short ones never", () => {
  assert.equal(short("refund · item · refunded money"), "refund · item");
  assert.equal(short("a fairly long name of a cluster"), "a fairly long name…");
  assert.equal(short("x".repeat(40)).length, 22);
  assert.equal(short("déjà vu"), "déjà vu");
});
