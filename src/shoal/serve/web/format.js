/** Numbers and times as people read them; no DOM, so that it can be tested anywhere. */

const DASH = "–";

/** A number in at most `digits` significant digits: 1,234; 0.0123; 1.2e-7.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function number(value, digits = 3) {
  if (!isNumber(value)) return DASH;
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e12)) return Number(value.toPrecision(digits)).toExponential().replace("e+", "e");
  const whole = size >= 10 ** (digits - 1);
  return value.toLocaleString("en-GB", whole ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits });
}

/** A whole number with separators.
 * @param {number | null | undefined} value
 */
export function count(value) {
  return isNumber(value) ? Math.round(value).toLocaleString("en-GB") : DASH;
}

/** A large count in few characters: 950, 12.4 k, 3.1 M.
 * @param {number | null | undefined} value
 */
export function shortCount(value) {
  if (!isNumber(value)) return DASH;
  for (const [unit, sign] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    // 999,950 would be rounded to "1000 k"
    if (Math.abs(value) >= unit * 0.99995 && Math.abs(value) >= 1000) return `${Number((value / unit).toPrecision(3))} ${sign}`;
  }
  return String(Math.round(value));
}

/** A share of one as per cent: 99.6 %, 42 %, 3.1 %, 0.04 %, < 0.01 %.
 * @param {number | null | undefined} value
 */
export function share(value) {
  if (!isNumber(value)) return DASH;
  const cent = value * 100;
  if (cent === 0) return "0 %";
  if (cent < 0.01) return "< 0.01 %";
  // nearly all is not all
  if (cent > 99 && cent < 100) return `${Math.min(Number(cent.toFixed(1)), 99.9)} %`;
  return `${cent >= 10 ? Math.round(cent) : Number(cent.toPrecision(2))} %`;
}

/** A length of time: 45 s, 12 min, 3 h, 5 days.
 * @param {number} seconds
 */
export function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 1) return `${Math.round(size * 1000)} ms`;
  if (size < 90) return `${Math.round(size)} s`;
  if (size < 90 * 60) return `${Math.round(size / 60)} min`;
  if (size < 36 * 3600) return `${trimmed(size / 3600)} h`;
  if (size < 60 * 86400) return `${trimmed(size / 86400)} days`;
  if (size < 720 * 86400) return `${trimmed(size / (30.44 * 86400))} months`;
  return `${trimmed(size / (365.25 * 86400))} years`;
}

/** An event time in full: a date in UTC, or a row count.
 * @param {number | null | undefined} t
 * @param {boolean} dated
 */
export function time(t, dated) {
  if (!isNumber(t)) return DASH;
  if (!dated) return `row ${count(t)}`;
  const parts = isoParts(t);
  return parts === null ? number(t) : `${parts.day} ${parts.clock} UTC`;
}

/** An event time in few characters; `span` (of what is shown, in the same unit) says what matters.
 * @param {number | null | undefined} t
 * @param {boolean} dated
 * @param {number} [span]
 */
export function shortTime(t, dated, span = Infinity) {
  if (!isNumber(t)) return DASH;
  if (!dated) return shortCount(t);
  const parts = isoParts(t);
  if (parts === null) return number(t);
  if (span <= 600) return parts.clock;
  if (span <= 2 * 86400) return parts.clock.slice(0, 5);
  if (span <= 14 * 86400) return `${parts.day.slice(8)} ${parts.month} ${parts.clock.slice(0, 5)}`;
  if (span <= 300 * 86400) return `${Number(parts.day.slice(8))} ${parts.month}`;
  return `${parts.month} ${parts.day.slice(0, 4)}`;
}

/** How long before `now`: "3 min ago", "1.2 k rows ago", "now".
 * @param {number | null | undefined} t
 * @param {number | null | undefined} now
 * @param {boolean} dated
 */
export function ago(t, now, dated) {
  if (!isNumber(t) || !isNumber(now)) return time(t, dated);
  const gap = now - t;
  if (dated) {
    if (Math.abs(gap) < 1) return "now";
    return gap > 0 ? `${duration(gap)} ago` : `in ${duration(gap)}`;
  }
  if (Math.abs(gap) < 0.5) return "now";
  return gap > 0 ? `${shortCount(gap)} rows ago` : `row ${shortCount(t)}`;
}

/** Round places for about `n` ticks between low and high; dates get round hours and days.
 * @param {number} low
 * @param {number} high
 * @param {number} n
 * @param {boolean} [dated]
 * @returns {number[]}
 */
export function ticks(low, high, n, dated = false) {
  if (!(high > low) || n < 1) return isNumber(low) ? [low] : [];
  const step = dated && high - low > 2 ? roundSeconds((high - low) / n) : roundStep((high - low) / n);
  const places = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-12); i++) places.push(i * step + 0); // and no -0
  return places;
}

function roundStep(rough) {
  const base = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * base).find((step) => step >= rough * 0.999) ?? rough;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400];

function roundSeconds(rough) {
  return STEPS.find((step) => step >= rough) ?? 86400 * roundStep(rough / 86400);
}

function isoParts(t) {
  const when = new Date(t * 1000);
  if (Number.isNaN(when.getTime())) return null;
  const iso = when.toISOString();
  const [day, rest] = iso.split("T");
  return { day, clock: rest.slice(0, 8), month: when.toLocaleString("en-GB", { month: "short", timeZone: "UTC" }) };
}

function trimmed(value) {
  return value >= 10 ? String(Math.round(value)) : String(Number(value.toFixed(1)));
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
