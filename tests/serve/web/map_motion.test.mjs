import assert from "node:assert/strict";
import { test } from "node:test";

import { createClock } from "../../../src/shoal/serve/web/map_clock.js";
import { marksAt, parents, planMoves } from "../../../src/shoal/serve/web/map_motion.js";

const A = { id: 1, at: [0, 0], r: 10 };
const B = { id: 2, at: [4, 4], r: 6 };

test("a cluster that stays glides from where it is to where it will be", () => {
  const moves = planMoves([A], [{ ...A, at: [8, 2], r: 20 }]);
  assert.deepEqual(marksAt(moves, 0)[0].at, [0, 0]);
  assert.deepEqual(marksAt(moves, 0.25)[0].at, [2, 0.5]);
  assert.equal(marksAt(moves, 0.5)[0].r, 15);
  assert.deepEqual(marksAt(moves, 1), [{ ...A, at: [8, 2], r: 20 }]);
});

test("one that goes fades and is gone at the end", () => {
  const moves = planMoves([A, B], [A]);
  assert.equal(marksAt(moves, 0.5).find((mark) => mark.id === 2).alpha, 0.5);
  assert.deepEqual(marksAt(moves, 1).map((mark) => mark.id), [1]);
});

test("one that comes grows within a ring, out of its parent if that is known", () => {
  const [, fresh] = marksAt(planMoves([A], [A, B], (id) => (id === 2 ? 1 : undefined)), 0);
  assert.deepEqual([fresh.at, fresh.r, fresh.ring], [[0, 0], 0, 1]);
  const [, alone] = marksAt(planMoves([A], [A, B]), 0);
  assert.deepEqual(alone.at, B.at);
});

test("a move that is interrupted goes on from where it was", () => {
  const half = marksAt(planMoves([A], [{ ...A, at: [8, 0] }]), 0.5);
  assert.deepEqual(marksAt(planMoves(half, [{ ...A, at: [0, 8] }]), 0)[0].at, [4, 0]);
});

test("parents are read from splits and births, the newest telling", () => {
  const of = parents([
    { kind: "split", cluster: 3, parents: [], children: [3, 9] },
    { kind: "born", cluster: 7, parents: [2], children: [] },
    { kind: "split", cluster: 1, parents: [], children: [9] },
  ]);
  assert.deepEqual([of(9), of(7), of(3)], [3, 2, undefined]);
});

function fakeClock() {
  const world = { time: 0, frames: [], timers: [] };
  const clock = createClock({
    now: () => world.time,
    frame: (fn) => world.frames.push(fn),
    later: (fn, ms) => world.timers.push([fn, ms]),
    forget: () => {},
  });
  const run = (time) => {
    world.time = time;
    world.frames.splice(0).forEach((fn) => fn());
  };
  return { world, clock, run };
}

test("frames are asked for only while something moves, and the end is drawn", () => {
  const { world, clock, run } = fakeClock();
  const seen = [];
  clock.onFrame(() => {
    seen.push(clock.part("glide"));
    return false;
  });
  clock.start("glide", 100);
  run(50);
  run(99);
  run(130);
  assert.deepEqual(seen, [0.5, 0.99, 1]);
  assert.equal(world.frames.length, 0);
  assert.equal(world.timers.length, 0);
});

test("what fades slowly is drawn a few times a second", () => {
  const { world, clock, run } = fakeClock();
  clock.onFrame(() => true);
  clock.wake();
  clock.wake();
  assert.equal(world.frames.length, 1);
  run(1);
  assert.equal(world.frames.length, 0);
  assert.equal(world.timers[0][1], 250);
});
