// The map, made one to explore, and a search in the page. Without this the page is whole.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("shoal-data").textContent);
  const svg = document.getElementById("plot");
  const tip = document.getElementById("tip");
  const chosen = document.getElementById("chosen");
  const hint = chosen.firstElementChild;
  const circles = Array.from(document.querySelectorAll("#points circle"));
  const bubbles = Array.from(document.querySelectorAll(".bubble"));
  const cards = Array.from(document.querySelectorAll(".topic"));
  const more = document.getElementById("more");
  const field = document.getElementById("find");
  const count = document.getElementById("found");
  let pinned = null;
  let here = null;
  let matching = null;

  const words = cards.map((card) => card.textContent.toLowerCase());

  function light(topic) {
    const only = topic === null ? pinned : topic;
    const on = (c) => (only !== null ? c === only : matching === null || matching.has(c));
    const some = only !== null || matching !== null;
    circles.forEach((circle, i) => {
      circle.classList.toggle("dim", some && !on(data.topics[i]));
      circle.classList.toggle("lit", some && on(data.topics[i]));
    });
    bubbles.forEach((bubble, c) => {
      bubble.classList.toggle("dim", some && !on(c));
      bubble.classList.toggle("lit", only === c);
    });
    cards.forEach((card, c) => card.classList.toggle("lit", only === c));
  }

  function choose(topic) {
    pinned = pinned === topic ? null : topic;
    bubbles.forEach((bubble, c) => bubble.setAttribute("aria-pressed", String(c === pinned)));
    if (pinned === null) {
      chosen.replaceChildren(hint);
    } else {
      const copy = cards[pinned].cloneNode(true);
      copy.removeAttribute("id");
      copy.hidden = false;
      copy.querySelectorAll("details").forEach((d) => { d.open = true; d.firstElementChild.hidden = true; });
      const link = document.createElement("a");
      link.href = `#${cards[pinned].id}`;
      link.textContent = "to its place in the list";
      chosen.replaceChildren(copy, link);
      chosen.scrollTop = 0;
    }
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
    const scale = svg.getBoundingClientRect().width / data.width;
    const room = tip.parentElement.clientWidth;
    const at = x * scale + 22;
    tip.style.left = `${at + tip.offsetWidth > room ? Math.max(4, at - tip.offsetWidth - 36) : at}px`;
    tip.style.top = `${Math.max(4, y * scale - tip.offsetHeight / 2)}px`;
  }

  function hush() {
    tip.hidden = true;
    if (here !== null) circles[here].classList.remove("here");
    here = null;
  }

  function about(c) {
    const card = cards[c];
    const text = (query) => Array.from(card.querySelectorAll(query), (node) => node.textContent.trim());
    const terms = text(".words li").join(", ");
    return [`${text(".what")[0]}, ${text(".share")[0]}`, terms, ...text(".examples li").slice(0, 2).map((t) => `“${t}”`)];
  }

  function nearest(x, y) {
    let best = null, least = 12;
    data.places.forEach(([px, py], i) => {
      const apart = Math.hypot(px - x, py - y);
      if (apart < least) [best, least] = [i, apart];
    });
    return best;
  }

  function under(x, y) {
    const at = data.bubbles.findIndex(([bx, by, r]) => Math.hypot(bx - x, by - y) <= r + 1);
    return at < 0 ? null : at;
  }

  function move(event) {
    const box = svg.getBoundingClientRect(), scale = data.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    hush();
    const bubble = under(x, y);
    if (bubble !== null) {
      light(bubble);
      const [bx, by, r] = data.bubbles[bubble];
      say(about(bubble), bx + r, by);
      return bubble;
    }
    const point = nearest(x, y);
    if (point === null) { light(null); return null; }
    here = point;
    const topic = data.topics[point];
    light(topic);
    circles[point].classList.add("here");
    say([data.texts[point], cards[topic].querySelector(".what").textContent], ...data.places[point]);
    return topic;
  }

  function step(c, by) {
    const next = (c + by + bubbles.length) % bubbles.length;
    bubbles[c].setAttribute("tabindex", "-1");
    bubbles[next].setAttribute("tabindex", "0");
    bubbles[next].focus();
  }

  function keys(event, c) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (by) step(c, by);
    else if (event.key === "Enter" || event.key === " ") choose(c);
    else return;
    event.preventDefault();
  }

  function find() {
    const asked = field.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const fits = words.map((text) => asked.every((word) => text.includes(word)));
    matching = asked.length ? new Set(fits.flatMap((fit, c) => (fit ? [c] : []))) : null;
    cards.forEach((card, c) => { card.hidden = !fits[c]; });
    if (more) {
      more.open = matching !== null || more.dataset.open === "yes";
      more.hidden = matching !== null && !cards.some((card, c) => fits[c] && more.contains(card));
    }
    count.textContent = matching === null ? "" : `${matching.size} of ${cards.length} topics`;
    light(null);
  }

  function unfold() {
    const card = location.hash.startsWith("#topic-") && document.getElementById(location.hash.slice(1));
    if (!card) return;
    if (card.hidden) { field.value = ""; find(); }
    if (more && more.contains(card)) more.open = true;
    card.scrollIntoView({ block: "start" });
  }

  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerleave", () => { hush(); light(null); });
  svg.addEventListener("click", (event) => { const c = move(event); if (c !== null) choose(c); });
  bubbles.forEach((bubble, c) => {
    bubble.setAttribute("tabindex", c === 0 ? "0" : "-1");
    bubble.addEventListener("keydown", (event) => keys(event, c));
    bubble.addEventListener("focus", () => {
      const [x, y, r] = data.bubbles[c];
      light(c);
      if (bubble.matches(":focus-visible")) say(about(c), x + r, y);
    });
    bubble.addEventListener("blur", () => { hush(); light(null); });
  });
  cards.forEach((card, c) => {
    card.addEventListener("pointerenter", () => light(c));
    card.addEventListener("pointerleave", () => light(null));
  });
  field.addEventListener("input", find);
  field.form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== field) { field.focus(); event.preventDefault(); }
    if (event.key === "Escape") { hush(); if (pinned !== null) choose(pinned); if (field.value) { field.value = ""; find(); } }
  });
  if (more) more.addEventListener("toggle", () => { if (matching === null) more.dataset.open = more.open ? "yes" : "no"; });
  window.addEventListener("hashchange", unfold);
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
  document.documentElement.classList.add("scripted");
  unfold();
})();
