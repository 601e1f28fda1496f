/** One cluster in the list: what it is at a glance, more on demand, and its name to change. */

import { withName } from "./live.js";
import { clock } from "./clock.js";
import { bornAt } from "./cluster_order.js";
import { el, fill } from "./dom.js";
import { ago, count, number, share, time } from "./format.js";
import { createSparkline } from "./sparkline.js";

/**
 * @param {number} id
 * @param {import("./store.js").Store} store
 */
export function createRow(id, store) {
  const badge = el("span", { class: "badge" }, id < 0 ? "+" : String(id));
  const label = el("span", { class: "label" });
  const hint = el("span", { class: "hint" });
  const part = el("span", { class: "share" });
  const bar = el("i");
  const spark = createSparkline();
  const pick = el("button", {
    class: "pick", type: "button",
    onclick: () => store.set({ selected: store.get().selected === id ? null : id }),
    ondblclick: rename,
    onkeydown: (event) => event.key === "F2" && rename(),
    onfocus: () => store.set({ hovered: id }),
    onblur: () => store.get().hovered === id && store.set({ hovered: null }),
  }, badge, el("span", { class: "words" }, label, hint), spark.node, el("span", { class: "size" }, part, el("span", { class: "bar" }, bar)));
  const pencil = el("button", { class: "button icon quiet pencil", type: "button", onclick: rename }, "✎");
  const more = el("button", { class: "button icon quiet more", type: "button", "aria-expanded": "false", onclick: expand }, "▸");
  const details = el("div", { class: "details", hidden: true });
  const node = el("li", {
    dataset: { id }, onpointerenter: () => store.set({ hovered: id }), onpointerleave: () => store.get().hovered === id && store.set({ hovered: null }),
  }, pick, pencil, more, details);
  const row = { node, cluster: null, show, mark };

  function show(cluster, state, top) {
    row.cluster = cluster;
    node.style.setProperty("--c", cluster.colour);
    label.textContent = cluster.label;
    hint.textContent = hintOf(cluster);
    part.textContent = share(cluster.share);
    bar.style.width = `${(100 * cluster.share) / top}%`;
    spark.show(cluster.history ?? []);
    const refused = whyNot(state, id);
    pencil.setAttribute("aria-disabled", String(refused !== ""));
    pencil.title = refused || "Rename (F2)";
    pencil.setAttribute("aria-label", `Rename ${cluster.label}`);
    more.title = "Traits and examples";
    more.setAttribute("aria-label", `More about ${cluster.label}`);
    if (!details.hidden) fill(details, detailsOf(cluster, state));
  }

  let marked = "";

  function mark(isSelected, isHovered, isFocusable) {
    const marks = `${isSelected} ${isHovered} ${isFocusable}`;
    if (marks === marked) return;
    marked = marks;
    pick.setAttribute("aria-pressed", String(isSelected));
    node.classList.toggle("lit", isHovered);
    pick.tabIndex = pencil.tabIndex = more.tabIndex = isFocusable ? 0 : -1;
  }

  function expand() {
    details.hidden = !details.hidden;
    more.setAttribute("aria-expanded", String(!details.hidden));
    fill(details, details.hidden ? [] : detailsOf(row.cluster, store.get()));
    node.scrollIntoView({ block: "nearest" });
  }

  function rename() {
    if (pencil.getAttribute("aria-disabled") === "true") return;
    node.querySelector(".rename")?.remove();
    const editor = nameEditor(row.cluster, store, () => {
      node.classList.remove("editing");
      editor.remove();
      pick.focus();
    });
    node.classList.add("editing");
    node.insertBefore(editor, details);
    node.scrollIntoView({ block: "nearest" });
    editor.querySelector("input").select();
  }

  return row;
}

/** Why a cluster cannot be renamed; empty if it can. */
function whyNot({ scene, view, session }, id) {
  if (view.mode !== "live" || id < 0) return "Only clusters of the live model can be renamed";
  if (!scene?.can?.rename) return "Names cannot be kept beside this model";
  if (!scene.can.write || session?.write === false) return "The token of this page may only read";
  return "";
}

function hintOf(cluster) {
  // a topic without a name is called by its first keywords: those need not be said twice
  const words = (cluster.keywords ?? []).filter((word) => !cluster.label.includes(word));
  if (words.length) return words.slice(0, 3).join(", ");
  return cluster.traits?.[0]?.text ?? "";
}

function nameEditor(cluster, store, close) {
  const field = el("input", { class: "field", value: cluster.name ?? cluster.label, maxlength: 200, "aria-label": `Name of ${cluster.label}` });
  const note = el("p", { class: "error", role: "alert", hidden: true });
  async function save(event) {
    event.preventDefault();
    const name = field.value.trim() || null;
    if (name === cluster.name) return close();
    field.disabled = true;
    try {
      await store.api.put(`clusters/${cluster.id}/name`, { name });
      const { scene } = store.get();
      if (name !== null && scene) store.set({ scene: withName(scene, cluster.id, name) });
      close();
    } catch (problem) {
      field.disabled = false;
      note.hidden = false;
      note.textContent = [problem.message, problem.remedy].filter(Boolean).join("; ");
      field.focus();
    }
  }
  return el("form", {
    class: "rename", onsubmit: save,
    onkeydown: (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      close();
    },
  }, field, el("button", { class: "button", type: "submit" }, "Save"), el("button", { class: "button quiet", type: "button", onclick: close }, "Cancel"), note);
}

function detailsOf(cluster, state) {
  const born = bornAt(cluster, state.events);
  const { now, dated } = clock(state);
  const facts = [
    cluster.weight != null && ["weight", count(cluster.weight)],
    cluster.radius != null && ["radius", number(cluster.radius)],
    born !== null && ["known since", el("span", { title: time(born, dated) }, ago(born, now, dated))],
  ].filter(Boolean);
  return [
    facts.length > 0 && el("dl", { class: "facts" }, facts.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value)))),
    cluster.keywords?.length > 0 && el("p", { class: "keywords" }, cluster.keywords.map((word) => el("span", { class: "chip flat" }, word))),
    cluster.traits?.length > 0 && el("ul", { class: "traits" }, cluster.traits.map((trait) => el("li", null, trait.text))),
    cluster.examples?.length > 0 && el("ul", { class: "examples" }, cluster.examples.map((text) => el("li", null, text))),
  ];
}
