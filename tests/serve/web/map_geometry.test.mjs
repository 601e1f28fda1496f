import assert from "node:assert/strict";
import { test } from "node:test";

import { atEdge, convexHull, isInside, nearest, padded, smoothOutline, withoutFarthest } from "../../../src/shoal/serve/web/map_geometry.js";

/** Even numbers between 0 and 1 that are the same on every run. */
function numbers(seed) {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

function cloud(seed, n) {
  const next = numbers(seed);
  return Array.from({ length: n }, () => [next() * 10 - 5, next() * 4]);
}

test("hull holds every point and has only points as corners", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const points = cloud(seed, 60);
    const hull = convexHull(points);
    assert.ok(points.every((point) => isInside(hull, point)));
    assert.ok(hull.every((corner) => points.includes(corner)));
  }
});

test("hull does not depend on the order of the points", () => {
  const points = cloud(7, 40);
  assert.deepEqual(convexHull([...points].reverse()), convexHull(points));
});

test("hull of a square leaves out what lies on its sides and within", () => {
  const hull = convexHull([[0, 0], [2, 0], [2, 2], [0, 2], [1, 0], [1, 1], [0, 0]]);
  assert.deepEqual(hull, [[0, 0], [2, 0], [2, 2], [0, 2]]);
});

test("hull of points that span nothing has fewer than three corners", () => {
  assert.equal(convexHull([]).length, 0);
  assert.equal(convexHull([[1, 1], [1, 1]]).length, 1);
  assert.equal(convexHull([[0, 0], [1, 1], [2, 2]]).length, 2);
});

test("hull leaves its argument as it was", () => {
  const points = cloud(3, 10);
  const before = structuredClone(points);
  convexHull(points);
  assert.deepEqual(points, before);
});

test("the farthest tenth is left out, and no more", () => {
  const points = [...cloud(5, 18), [100, 0], [0, -90]];
  const left = withoutFarthest(points);
  assert.equal(left.length, 18);
  assert.ok(left.every(([x, y]) => Math.abs(x) <= 5 && Math.abs(y) <= 4));
  assert.equal(withoutFarthest(points.slice(0, 9)).length, 9);
});

test("padding moves every corner outwards by the same length", () => {
  const hull = convexHull(cloud(9, 30));
  const wide = padded(hull, 2);
  hull.forEach((corner, i) => assert.ok(Math.abs(Math.hypot(wide[i][0] - corner[0], wide[i][1] - corner[1]) - 2) < 1e-9));
});

test("smooth outline is closed, passes every corner and turns nowhere sharply", () => {
  const hull = convexHull(cloud(11, 30));
  const curves = smoothOutline(hull);
  curves.forEach(({ from, to, second }, i) => {
    const next = curves[(i + 1) % curves.length];
    assert.deepEqual(from, hull[i]);
    assert.deepEqual(to, next.from);
    const [inX, inY] = [to[0] - second[0], to[1] - second[1]];
    const [outX, outY] = [next.first[0] - to[0], next.first[1] - to[1]];
    const turn = (inX * outY - inY * outX) / (Math.hypot(inX, inY) * Math.hypot(outX, outY));
    assert.ok(Math.abs(turn) < 1e-9);
  });
});

test("nearest finds what a look at all places finds, and nothing beyond its reach", () => {
  const points = cloud(13, 200);
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  for (const [x, y] of cloud(17, 30)) {
    const away = points.map((p) => Math.hypot(p[0] - x, p[1] - y));
    const least = Math.min(...away);
    assert.equal(away[nearest(xs, ys, x, y, least + 1e-9)], least);
    assert.equal(nearest(xs, ys, x, y, least * 0.999), -1);
  }
});

test("a place outside is shown on the edge, on the line to it", () => {
  const box = { left: 10, top: 20, width: 100, height: 60 };
  assert.equal(atEdge(box, [60, 50]), null);
  assert.deepEqual(atEdge(box, [260, 50]).at, [110, 50]);
  assert.deepEqual(atEdge(box, [60, -940]).at, [60, 20]);
  const { at, angle } = atEdge(box, [210, 140]);
  assert.ok(Math.abs(Math.atan2(at[1] - 50, at[0] - 60) - angle) < 1e-9);
});
