// The map, made one to explore. The page is whole without this: the SVG it redraws is already there.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("shoal-data").textContent);
  const { width, height, left, right, top, bottom } = data.frame;
  const svg = document.getElementById("plot");
  const tip = document.getElementById("tip");
  const legend = document.getElementById("legend");
  const circles = Array.from(document.querySelectorAll("#points circle"));
  const marks = Array.from(document.querySelectorAll(".centre"));
  const cards = Array.from(document.querySelectorAll(".card"));
  const buttons = [];
  const selects = ["axis-x", "axis-y"].map((id) => document.getElementById(id));
  let axes = data.start.slice();
  let places = [];
  let centres = [];
  let pinned = null;
  let here = null;

  function make(name, attributes, text) {
    const node = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function number(value, step) {
    const size = Math.abs(value);
    const unit = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([s]) => size >= 10 * s) || [1, ""];
    const scaled = value / unit[0];
    const digits = step ? Math.max(0, Math.min(9, Math.ceil(-Math.log10(step / unit[0]) - 1e-9))) : null;
    const text = digits === null ? scaled.toLocaleString("en-GB", { maximumSignificantDigits: 5 }) : scaled.toFixed(digits);
    return text.replace("-", "−") + unit[1];
  }

  function ticks(low, high, most) {
    const raw = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= raw * (1 - 1e-9));
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) out.push(i * step);
    return { step, values: out };
  }

  // Limits of both axes, widened where a map would be out of shape.
  function frame() {
    const [x, y] = axes.map((i) => data.axes[i]);
    let [x0, x1, y0, y1] = [x.low, x.high, y.low, y.high];
    const map = data.aspect;
    if (map && map.pair[0] === axes[0] && map.pair[1] === axes[1]) {
      const across = width - left - right, down = height - top - bottom;
      const perX = across / (x1 - x0), perY = down / (y1 - y0);
      if (perY > map.ratio * perX) {
        const half = down / (map.ratio * perX) / 2, middle = (y0 + y1) / 2;
        [y0, y1] = [middle - half, middle + half];
      } else {
        const half = across / (perY / map.ratio) / 2, middle = (x0 + x1) / 2;
        [x0, x1] = [middle - half, middle + half];
      }
    }
    return { x0, x1, y0, y1 };
  }

  // Discs pushed apart until none covers another; the same rule as in layout.py.
  function part(anchors, size) {
    const at = anchors.map(([x, y], i) => [x + 0.001 * size * Math.cos(2.399963 * i), y + 0.001 * size * Math.sin(2.399963 * i)]);
    for (let step = 0; step < 120; step++) {
      let worst = 0;
      const push = at.map(() => [0, 0]);
      for (let i = 0; i < at.length; i++) {
        for (let j = 0; j < i; j++) {
          const dx = at[i][0] - at[j][0], dy = at[i][1] - at[j][1];
          const apart = Math.max(Math.hypot(dx, dy), 1e-9), overlap = size - apart;
          if (overlap <= 0) continue;
          worst = Math.max(worst, overlap);
          const fx = (0.45 * overlap * dx) / apart, fy = (0.45 * overlap * dy) / apart;
          push[i][0] += fx; push[i][1] += fy; push[j][0] -= fx; push[j][1] -= fy;
        }
      }
      if (worst < 0.02 * size) break;
      at.forEach((p, i) => { p[0] += push[i][0]; p[1] += push[i][1]; });
    }
    return at;
  }

  function draw() {
    const { x0, x1, y0, y1 } = frame();
    const [x, y] = axes.map((i) => data.axes[i]);
    const clamp = (share) => Math.min(1, Math.max(0, share));
    const px = (v) => left + clamp((v - x0) / (x1 - x0)) * (width - left - right);
    const py = (v) => top + (1 - clamp((v - y0) / (y1 - y0))) * (height - top - bottom);
    places = circles.map((circle, i) => {
      const at = [px(x.values[i]), py(y.values[i])];
      circle.setAttribute("cx", at[0].toFixed(1));
      circle.setAttribute("cy", at[1].toFixed(1));
      return at;
    });
    const ids = marks.map((mark) => Number(mark.dataset.c));
    const anchors = ids.map((c) => [px(x.centres[c]), py(y.centres[c])]);
    centres = part(anchors, 2 * data.disc + 2);
    marks.forEach((mark, i) => {
      const [line, disc, text] = mark.children;
      const [a, b] = [anchors[i], centres[i]];
      for (const [key, value] of [["x1", a[0]], ["y1", a[1]], ["x2", b[0]], ["y2", b[1]]]) line.setAttribute(key, value);
      line.setAttribute("visibility", Math.hypot(a[0] - b[0], a[1] - b[1]) > data.disc ? "visible" : "hidden");
      disc.setAttribute("cx", b[0]); disc.setAttribute("cy", b[1]);
      text.setAttribute("x", b[0]); text.setAttribute("y", b[1]);
    });
    drawGrid({ x0, x1, y0, y1 }, px, py, x, y);
  }

  function drawGrid({ x0, x1, y0, y1 }, px, py, x, y) {
    const grid = document.getElementById("grid");
    grid.replaceChildren();
    const across = ticks(x0, x1, 7), up = ticks(y0, y1, 6);
    for (const v of x.plain ? [] : across.values) {
      grid.append(make("line", { x1: px(v), x2: px(v), y1: top, y2: height - bottom }));
      grid.append(make("text", { x: px(v), y: height - bottom + 18, "text-anchor": "middle" }, number(v, across.step)));
    }
    for (const v of y.plain ? [] : up.values) {
      grid.append(make("line", { x1: left, x2: width - right, y1: py(v), y2: py(v) }));
      grid.append(make("text", { x: left - 8, y: py(v) + 4, "text-anchor": "end" }, number(v, up.step)));
    }
    document.getElementById("label-x").textContent = x.label;
    document.getElementById("label-y").textContent = y.label;
    svg.setAttribute("aria-label", `Sampled rows by group, ${x.label} across and ${y.label} up`);
  }

  function light(cluster) {
    const c = cluster === null ? pinned : cluster;
    circles.forEach((circle, i) => {
      circle.classList.toggle("dim", c !== null && data.labels[i] !== c);
      circle.classList.toggle("lit", c !== null && data.labels[i] === c);
    });
    marks.forEach((mark) => mark.classList.toggle("dim", c !== null && Number(mark.dataset.c) !== c));
    cards.forEach((card) => card.classList.toggle("lit", c !== null && Number(card.dataset.c) === c));
  }

  function pin(cluster) {
    pinned = pinned === cluster ? null : cluster;
    buttons.forEach((button, c) => button.setAttribute("aria-pressed", String(c === pinned)));
    light(null);
  }

  function say(lines, x, y) {
    const head = document.createElement("b");
    head.textContent = lines[0];
    tip.replaceChildren(head, ...lines.slice(1).map((line) => {
      const node = document.createElement("span");
      node.textContent = line;
      return node;
    }));
    tip.hidden = false;
    const box = svg.getBoundingClientRect(), scale = box.width / width;
    const room = tip.parentElement.clientWidth;
    const at = x * scale + 24;
    tip.style.left = `${at + tip.offsetWidth > room ? Math.max(4, at - tip.offsetWidth - 24) : at}px`;
    tip.style.top = `${Math.max(4, y * scale - tip.offsetHeight / 2)}px`;
  }

  function hush() {
    tip.hidden = true;
    if (here !== null) circles[here].classList.remove("here");
    here = null;
  }

  function aboutPoint(i) {
    const cluster = data.clusters[data.labels[i]];
    const weight = data.weights[i];
    const lines = [weight > 1.5 ? `${cluster.name}: a row that stands for ${Math.round(weight).toLocaleString("en-GB")}` : cluster.name];
    const columns = data.axes.map((axis, j) => j).filter((j) => data.axes[j].column !== undefined);
    const first = axes.filter((j) => data.axes[j].column !== undefined);
    for (const j of [...new Set([...first, ...columns])].slice(0, 7)) {
      lines.push(`${data.axes[j].label}: ${number(data.axes[j].values[i])}`);
    }
    return lines;
  }

  function aboutCluster(c) {
    const cluster = data.clusters[c];
    return [`${cluster.name}, ${cluster.share} of the rows`, ...cluster.traits];
  }

  function nearest(list, x, y, reach) {
    let best = -1, least = reach;
    list.forEach(([px, py], i) => {
      const apart = Math.hypot(px - x, py - y);
      if (apart < least) [best, least] = [i, apart];
    });
    return best;
  }

  function move(event) {
    const box = svg.getBoundingClientRect(), scale = width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    hush();
    const mark = nearest(centres, x, y, data.disc + 2);
    if (mark >= 0) {
      const c = Number(marks[mark].dataset.c);
      light(c);
      say(aboutCluster(c), ...centres[mark]);
      return c;
    }
    const point = nearest(places, x, y, 12);
    if (point < 0) { light(null); return null; }
    here = point;
    light(data.labels[point]);
    circles[point].classList.add("here");
    say(aboutPoint(point), ...places[point]);
    return data.labels[point];
  }

  function listen() {
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerleave", () => { hush(); light(null); });
    svg.addEventListener("click", (event) => { const c = move(event); pin(c === null ? pinned : c); });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") { hush(); pin(pinned); } });
    selects.forEach((select, side) => select.addEventListener("change", () => { axes[side] = Number(select.value); hush(); draw(); }));
    cards.forEach((card) => {
      card.addEventListener("pointerenter", () => light(Number(card.dataset.c)));
      card.addEventListener("pointerleave", () => light(null));
    });
  }

  function fill() {
    selects.forEach((select, side) => data.axes.forEach((axis, i) => {
      select.append(new Option(axis.label, String(i), i === axes[side], i === axes[side]));
    }));
    data.clusters.forEach((cluster, c) => {
      const button = document.createElement("button"), badge = document.createElement("span");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-label", `${cluster.name}, ${cluster.share}`);
      badge.className = "badge";
      badge.style.setProperty("--c", cluster.colour);
      badge.textContent = cluster.number;
      button.append(badge, cluster.share);
      const mark = () => marks.findIndex((m) => Number(m.dataset.c) === c);
      const show = () => { light(c); if (mark() >= 0) say(aboutCluster(c), ...centres[mark()]); };
      const leave = () => { hush(); light(null); };
      for (const [name, act] of [["pointerenter", show], ["focus", show], ["pointerleave", leave], ["blur", leave]]) button.addEventListener(name, act);
      button.addEventListener("click", () => pin(c));
      buttons.push(button);
      legend.append(button);
    });
  }

  document.documentElement.classList.add("scripted");
  fill();
  listen();
  draw();
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
})();
