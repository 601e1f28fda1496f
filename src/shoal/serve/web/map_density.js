/** Density of the points as a small picture: each cluster's kernel density, in steps like contour lines. No DOM. */

export const CELL = 4;
const SPREAD = 2.7;
const REACH = 8;
const STEPS = 5;
const PARTS = 5;
const KERNEL = kernel();

/**
 * @param {{x: Float64Array, y: Float64Array, cluster: Int32Array, weight: Float32Array, n: number}} points in pixels
 * @param {number} width in pixels
 * @param {number} height
 * @param {(cluster: number) => [number, number, number]} colourOf 0..255
 * @param {(cluster: number) => number} [strengthOf] 0..1, less for clusters that are dimmed
 * @returns {{data: Uint8ClampedArray, width: number, height: number}} RGBA, one pixel for CELL x CELL of the map
 */
export function densityPicture(points, width, height, colourOf, strengthOf = () => 1) {
  const [w, h] = [Math.max(1, Math.ceil(width / CELL)), Math.max(1, Math.ceil(height / CELL))];
  const whole = new Float32Array(w * h);
  const sums = new Float32Array(w * h * PARTS);
  const own = new Float32Array(w * h);
  for (const [cluster, members] of membersOf(points)) {
    const box = stamped(own, w, h, points, members, whole);
    if (box === null) continue;
    const [red, green, blue] = colourOf(cluster);
    const strength = strengthOf(cluster);
    for (let row = box.top; row <= box.bottom; row++) {
      for (let i = row * w + box.left; i <= row * w + box.right; i++) {
        // squared, so that where two clusters meet the denser one has most of the say
        const say = own[i] * own[i];
        if (say === 0) continue;
        sums[PARTS * i] += say * red;
        sums[PARTS * i + 1] += say * green;
        sums[PARTS * i + 2] += say * blue;
        sums[PARTS * i + 3] += say * strength;
        sums[PARTS * i + 4] += say;
        own[i] = 0;
      }
    }
  }
  return { data: coloured(whole, sums, usualPeak(whole, points, w, h)), width: w, height: h };
}

/** How opaque a density is, 0..1: even steps with soft edges.
 * @param {number} part of the usual peak
 */
export function stepped(part) {
  const level = Math.min(1, Math.sqrt(Math.max(0, part))) * STEPS;
  const whole = Math.floor(level);
  const rest = Math.min(1, (level - whole) / 0.35);
  return Math.min(1, (whole + rest * rest * (3 - 2 * rest)) / (STEPS + 1));
}

function membersOf({ cluster, n }) {
  const members = new Map();
  for (let i = 0; i < n; i++) {
    const known = members.get(cluster[i]);
    if (known) known.push(i);
    else members.set(cluster[i], [i]);
  }
  return members;
}

/** Adds the members' kernels to both grids; gives the part of the grid that was touched. */
function stamped(own, w, h, points, members, whole) {
  const box = { left: w, top: h, right: -1, bottom: -1 };
  const side = 2 * REACH + 1;
  for (const i of members) {
    const [x, y] = [Math.floor(points.x[i] / CELL), Math.floor(points.y[i] / CELL)];
    const [left, right] = [Math.max(0, x - REACH), Math.min(w - 1, x + REACH)];
    const [top, bottom] = [Math.max(0, y - REACH), Math.min(h - 1, y + REACH)];
    if (left > right || top > bottom) continue;
    const mass = points.weight[i];
    for (let row = top; row <= bottom; row++) {
      const at = (row - y + REACH) * side - x + REACH;
      for (let column = left; column <= right; column++) {
        const value = mass * KERNEL[at + column];
        own[row * w + column] += value;
        whole[row * w + column] += value;
      }
    }
    box.left = Math.min(box.left, left);
    box.right = Math.max(box.right, right);
    box.top = Math.min(box.top, top);
    box.bottom = Math.max(box.bottom, bottom);
  }
  return box.right < 0 ? null : box;
}

/** Density that counts as full: that of the densest tenth of the points, so that one tight spot does not hide the rest. */
function usualPeak(whole, points, w, h) {
  const found = [];
  for (let i = 0; i < points.n; i++) {
    const [x, y] = [Math.floor(points.x[i] / CELL), Math.floor(points.y[i] / CELL)];
    if (x >= 0 && y >= 0 && x < w && y < h) found.push(whole[y * w + x]);
  }
  found.sort((a, b) => a - b);
  return found[Math.floor(found.length * 0.9)] ?? 1;
}

function coloured(whole, sums, peak) {
  const data = new Uint8ClampedArray(whole.length * 4);
  for (let i = 0; i < whole.length; i++) {
    const say = sums[PARTS * i + 4];
    if (say === 0) continue;
    const opacity = stepped(whole[i] / peak);
    if (opacity === 0) continue;
    for (let part = 0; part < 3; part++) data[4 * i + part] = sums[PARTS * i + part] / say;
    data[4 * i + 3] = (235 * opacity * sums[PARTS * i + 3]) / say;
  }
  return data;
}

function kernel() {
  const side = 2 * REACH + 1;
  return Float32Array.from({ length: side * side }, (_, i) => {
    const [x, y] = [(i % side) - REACH, Math.floor(i / side) - REACH];
    const away = x * x + y * y;
    // round and ending at nothing, so that no square shows
    return away > REACH * REACH ? 0 : Math.exp(-away / (2 * SPREAD * SPREAD)) - Math.exp(-(REACH * REACH) / (2 * SPREAD * SPREAD));
  });
}
