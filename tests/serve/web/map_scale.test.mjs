import assert from "node:assert/strict";
import { test } from "node:test";

import { between, dragged, eased, homeFrame, isSame, kept, rehomed, toChart, toPixels, zoomOf, zoomedAt } from "../../../src/shoal/serve/web/map_scale.js";

const BOX = { left: 30, top: 40, width: 600, height: 300 };
const CHART = { low: [-4, 10], high: [8, 13], aspect: null };
const HOME = homeFrame(CHART, BOX);

function near(a, b) {
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) < 1e-6, `${a} is not ${b}`));
}

test("home shows exactly the limits, y upwards", () => {
  near(toPixels(HOME, BOX, [-4, 10]), [30, 340]);
  near(toPixels(HOME, BOX, [8, 13]), [630, 40]);
});

test("a map keeps its ratio and shows all of the limits", () => {
  for (const aspect of [0.3, 1, 1.6, 9]) {
    const frame = homeFrame({ ...CHART, aspect }, BOX);
    assert.ok(Math.abs(frame.sy / frame.sx - aspect) < 1e-9);
    const [left, bottom] = toPixels(frame, BOX, CHART.low);
    const [right, top] = toPixels(frame, BOX, CHART.high);
    assert.ok(left >= 30 - 1e-9 && right <= 630 + 1e-9 && top >= 40 - 1e-9 && bottom <= 340 + 1e-9);
  }
});

test("limits without a width still give a frame", () => {
  const frame = homeFrame({ low: [5, 0], high: [5, 0], aspect: null }, BOX);
  assert.ok(Object.values(frame).every(Number.isFinite));
  near(toPixels(frame, BOX, [5, 0]), [330, 190]);
});

test("pixels and chart units are each other's inverse", () => {
  const frame = zoomedAt(HOME, HOME, BOX, [100, 100], 3.7);
  near(toPixels(frame, BOX, toChart(frame, BOX, [123, 77])), [123, 77]);
});

test("zooming keeps the place under the pointer", () => {
  let frame = HOME;
  for (const factor of [2, 1.3, 0.4, 5]) {
    const before = toChart(frame, BOX, [400, 90]);
    frame = zoomedAt(frame, HOME, BOX, [400, 90], factor);
    near(toChart(frame, BOX, [400, 90]), before);
  }
});

test("zooming ends at a nearest and a farthest, and there moves nothing", () => {
  for (const factor of [1e9, 1e-9]) {
    const end = zoomedAt(HOME, HOME, BOX, [200, 200], factor);
    assert.ok(isSame(zoomedAt(end, HOME, BOX, [200, 200], factor), end));
    assert.ok(zoomOf(end, HOME) < 1000 && zoomOf(end, HOME) > 0.1);
  }
});

test("dragging moves what is under the pointer along", () => {
  const place = toChart(HOME, BOX, [200, 200]);
  near(toPixels(dragged(HOME, 30, -12), BOX, place), [230, 188]);
});

test("dragging far away ends at the limits, but what lay beyond may stay", () => {
  const far = kept(dragged(HOME, 1e6, 0), CHART, HOME);
  assert.equal(far.x, -4);
  const beyond = { ...HOME, x: 20 };
  assert.equal(kept({ ...beyond, x: 19 }, CHART, beyond).x, 19);
  assert.equal(kept({ ...beyond, x: 25 }, CHART, beyond).x, 20);
});

test("whoever looks at all goes on looking at all; whoever has zoomed keeps middle and zoom", () => {
  const grown = homeFrame({ ...CHART, high: [12, 20] }, BOX);
  assert.deepEqual(rehomed(HOME, HOME, grown), grown);
  const frame = zoomedAt(HOME, HOME, BOX, [200, 200], 4);
  const after = rehomed(frame, HOME, grown);
  near([after.x, after.y, zoomOf(after, grown)], [frame.x, frame.y, zoomOf(frame, HOME)]);
});

test("on the way from one zoom to another the common place stands still", () => {
  const to = zoomedAt(HOME, HOME, BOX, [500, 120], 6);
  const place = toChart(HOME, BOX, [500, 120]);
  for (const t of [0, 0.2, 0.5, 0.9, 1]) near(toPixels(between(HOME, to, t), BOX, place), [500, 120]);
  assert.deepEqual(between(HOME, to, 1), to);
});

test("easing goes from 0 to 1 without turning back", () => {
  const steps = Array.from({ length: 101 }, (_, i) => eased(i / 100));
  assert.equal(steps[0], 0);
  assert.equal(steps[100], 1);
  assert.ok(steps.every((value, i) => i === 0 || value >= steps[i - 1]));
  assert.equal(eased(7), 1);
});
