import assert from "node:assert/strict";
import { test } from "node:test";

import { inkOn, lifted, luminance } from "../../../src/shoal/serve/web/map_colour.js";
import { CELL, densityPicture, stepped } from "../../../src/shoal/serve/web/map_density.js";
import { hitAt } from "../../../src/shoal/serve/web/map_hit.js";
import { marksOf, pictureOf, pointsOf, said, titleOf } from "../../../src/shoal/serve/web/map_picture.js";

const CHART = { id: 3, kind: "columns", x: "age", y: "income", low: [0, 0], high: [10, 10], aspect: null };
const cluster = (id, share, at) => ({ id, share, at, name: null, label: `cluster ${id}`, colour: "#3f90da", keywords: [], traits: [] });
const SCENE = {
  model: "m", version: 1, chart: CHART,
  clusters: [cluster(0, 0.6, [2, 2]), cluster(4, 0.4, [8, 8])],
  points: [[2, 2, 0, 1], [8, 8, 4, 64], [null, 1, 0, 1]],
};

test("nothing is shown before there is a scene, and it is said", () => {
  assert.equal(pictureOf({ scene: null, view: { mode: "live" } }), null);
  assert.match(said(null), /no model/);
  assert.match(said(pictureOf({ scene: SCENE })), /2 clusters.*age.*income/);
});

test("a marker's area is as its share; places that are no numbers are left out", () => {
  const [large, small] = marksOf([cluster(1, 0.04, [0, 0]), cluster(2, 0.16, [1, 1]), cluster(3, 0.2, null)]);
  assert.equal(large.id, 2);
  assert.ok(Math.abs(large.r / small.r - 2) < 1e-9);
  assert.equal(pointsOf(SCENE.points).n, 2);
});

test("a point of 64 times the weight has twice the radius at most", () => {
  const { size } = pointsOf([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 64], [0, 0, 1, 1e9], [0, 0, 1, 1]]);
  assert.ok(Math.abs(size[2] / size[0] - 2) < 1e-6);
  assert.equal(size[3], size[2]);
});

test("titles: the given name, the topic's, the first keyword, the number", () => {
  assert.equal(titleOf({ id: 3, name: "mine", label: "mine" }), "mine");
  assert.equal(titleOf({ id: 3, name: null, label: "card · lost" }), "card · lost");
  assert.equal(titleOf({ id: 3, name: null, label: "cluster 3", keywords: ["card"] }), "card");
  assert.equal(titleOf({ id: 3, name: null, label: "cluster 3", keywords: [] }), "3");
});

test("a solve colours the points of the scene it was asked for, also after a newer one has come", () => {
  const data = { clusters: [cluster(-1, 1, [5, 5])], points: [-1, -1, -1] };
  const first = pictureOf({ scene: SCENE, view: { mode: "solve", data } });
  assert.deepEqual([...first.points.cluster], [-1, -1]);
  const newer = { ...SCENE, points: [[1, 1, 0, 1], [1, 2, 0, 1], [3, 3, 0, 1]] };
  assert.deepEqual([...pictureOf({ scene: newer, view: { mode: "solve", data } }).points.x], [2, 8]);
});

test("comparing knows what was before and what is after", () => {
  const data = { before: { clusters: [SCENE.clusters[0]], points: [] }, after: { clusters: [SCENE.clusters[1]], points: SCENE.points } };
  const picture = pictureOf({ scene: SCENE, view: { mode: "compare", data } });
  assert.deepEqual([picture.ghosts.map((m) => m.id), picture.marks.map((m) => m.id)], [[0], [4]]);
  assert.deepEqual([...picture.clusters.keys()], [0, 4]);
});

// what Chromium makes of color-mix(in oklab, COLOUR 78%, white)
const MIXED = [["#3f90da", "#6da9e4"], ["#832db6", "#9d62c8"], ["#717581", "#8e929b"], ["#003300", "#395c36"], ["#ffa90e", "#ffbd63"]];

test("on dark ground colours are lifted as the style sheet does, and every text can be read", () => {
  for (const [colour, expected] of MIXED) assert.equal(lifted(colour), expected);
  for (const colour of ["#3f90da", "#ffa90e", "#832db6", "#717581", "#00ff00", "#888888"]) {
    const [one, other] = [luminance(colour), luminance(inkOn(colour))];
    assert.ok((Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) >= 4);
  }
});

test("density is highest where the points are, in their colour, and nothing far away", () => {
  const points = pointsOf([[100, 100, 1, 1], [102, 100, 1, 1], [300, 200, 2, 1]]);
  const { data, width } = densityPicture(points, 400, 300, (c) => (c === 1 ? [255, 0, 0] : [0, 0, 255]));
  const at = (x, y) => [...data.slice(4 * (Math.floor(y / CELL) * width + Math.floor(x / CELL)), 4 * (Math.floor(y / CELL) * width + Math.floor(x / CELL)) + 4)];
  assert.deepEqual(at(100, 100).slice(0, 3), [255, 0, 0]);
  assert.deepEqual(at(300, 200).slice(0, 3), [0, 0, 255]);
  assert.ok(at(100, 100)[3] > at(124, 100)[3] && at(124, 100)[3] >= 0);
  assert.equal(at(200, 280)[3], 0);
});

test("density of points outside the picture is left out, not wrapped around", () => {
  const { data } = densityPicture(pointsOf([[-500, 50, 1, 1], [900, 50, 1, 1]]), 400, 300, () => [1, 2, 3]);
  assert.ok(data.every((value) => value === 0));
});

test("density goes up in steps and never down", () => {
  const steps = Array.from({ length: 200 }, (_, i) => stepped(i / 150));
  assert.ok(steps.every((value, i) => i === 0 || value >= steps[i - 1]));
  assert.ok(new Set(steps.map((v) => v.toFixed(4))).size < 150);
});

test("the pointer finds markers before points, the smaller marker of two, outliers only when live", () => {
  const picture = { ...pictureOf({ scene: SCENE }), marks: [] };
  const marks = [{ id: 0, at: [50, 50], r: 20 }, { id: 4, at: [60, 50], r: 5 }];
  const points = () => ({ x: [100, 54], y: [100, 50], cluster: [7, 7] });
  const outlier = { at: [200, 200], cluster: 4 };
  const now = { picture, marks, points, put: (at) => at, on: { shape: "points", recent: [], outliers: [outlier] } };
  assert.equal(hitAt(now, [59, 50]).cluster, 4);
  assert.equal(hitAt(now, [40, 50]).cluster, 0);
  assert.deepEqual([hitAt(now, [103, 100]).kind, hitAt(now, [103, 100]).cluster], ["point", 7]);
  assert.equal(hitAt(now, [203, 200]).outlier, outlier);
  assert.equal(hitAt({ ...now, picture: { ...picture, mode: "window" } }, [203, 200]), null);
  assert.equal(hitAt(now, [140, 140]), null);
});
