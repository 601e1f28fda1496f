/** Numbers, shares and times as people read them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ago, count, duration, number, share, shortCount, shortTime, ticks, time } from "../../../src/shoal/serve/web/format.js";

const NOON = Date.UTC(2026, 4, 29, 12, 0, 0) / 1000;

test("numbers keep their significant digits", () => {
  assert.equal(number(0.012345), "0.0123");
  assert.equal(number(1234.6), "1,235");
  assert.equal(number(1.5), "1.5");
  assert.equal(number(-0.5), "-0.5");
  assert.equal(number(0), "0");
  assert.equal(number(1.2e-7), "1.2e-7");
  assert.equal(number(3.4e15), "3.4e15");
});

test("what is no number is a dash everywhere", () => {
  for (const say of [number, count, share, shortCount]) {
    for (const nothing of [null, undefined, NaN, Infinity]) assert.equal(say(nothing), "–");
  }
  assert.equal(time(null, true), "–");
});

test("a small share is never shown as none, nor a large one as all", () => {
  assert.equal(share(0), "0 %");
  assert.equal(share(0.00003), "< 0.01 %");
  assert.equal(share(0.0312), "3.1 %");
  assert.equal(share(0.42), "42 %");
  assert.equal(share(0.987), "99 %");
  assert.equal(share(0.996), "99.6 %");
  assert.equal(share(0.9999), "99.9 %");
  assert.equal(share(1), "100 %");
});

test("short counts never read 1000 of a unit", () => {
  assert.equal(shortCount(999), "999");
  assert.equal(shortCount(1000), "1 k");
  assert.equal(shortCount(12_400), "12.4 k");
  assert.equal(shortCount(999_960), "1 M");
  assert.equal(shortCount(3_100_000_000), "3.1 G");
});

test("durations use the unit that people would", () => {
  assert.equal(duration(0.25), "250 ms");
  assert.equal(duration(45), "45 s");
  assert.equal(duration(720), "12 min");
  assert.equal(duration(3 * 3600), "3 h");
  assert.equal(duration(5 * 86400), "5 days");
  assert.equal(duration(730 * 86400), "2 years");
});

test("times are dates in UTC or row counts", () => {
  assert.equal(time(NOON, true), "2026-05-29 12:00:00 UTC");
  assert.equal(time(12_345, false), "row 12,345");
  assert.equal(shortTime(NOON, true, 3600), "12:00");
  assert.equal(shortTime(NOON, true, 100 * 86400), "29 May");
  assert.equal(shortTime(NOON, true, 3000 * 86400), "May 2026");
  assert.equal(ago(NOON - 180, NOON, true), "3 min ago");
  assert.equal(ago(1000, 5000, false), "4 k rows ago");
  assert.equal(ago(NOON, NOON, true), "now");
  assert.equal(ago(NOON, null, true), "2026-05-29 12:00:00 UTC");
});

test("a date that no calendar has does not break the page", () => {
  assert.equal(time(1e18, true), number(1e18));
});

test("ticks lie within their limits, at round places", () => {
  assert.deepEqual(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(ticks(3, 3, 5), [3]);
  const days = ticks(NOON, NOON + 86400, 6, true);
  assert.ok(days.length >= 3 && days.length <= 7);
  assert.ok(days.every((t) => t % 3600 === 0 && t >= NOON && t <= NOON + 86400));
});
