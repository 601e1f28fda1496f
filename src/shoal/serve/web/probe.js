/** Try a row: what cluster it falls into, how odd it is there, and why. */

import { el, fill } from "./dom.js";
import { sentence } from "./panel_parts.js";
import { drawAnswer } from "./probe_answer.js";
import { RowError, rowFromText, valueOf } from "./probe_row.js";

const MOST_FIELDS = 60; // beyond that nobody types a row, but one can paste it

/**
 * @param {HTMLElement} root
 * @param {import("./store.js").Store} store
 * @returns {{destroy: () => void}}
 */
export function createProbe(root, store) {
  const form = el("form", { class: "p-form", novalidate: true });
  const problem = el("p", { class: "error p-problem", role: "alert", hidden: true });
  const answer = el("div", { class: "p-answer", "aria-live": "polite" });
  let shape = "";
  let editor = null;
  let control = null;
  let pending = null; // a row that came before the form was there
  fill(root, el("div", { class: "scroll" }, el("div", { class: "panel-body" }, form, problem, answer)));

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    tryIt();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea")) tryIt();
  });

  function build({ scene }) {
    if (!scene) return;
    const next = JSON.stringify([scene.model, scene.texts, scene.inputs]);
    if (next === shape) return;
    shape = next;
    editor = scene.texts ? textEditor(store) : rowEditor(scene.inputs, store, say);
    fill(form, editor.node);
    const ask = scene.texts ? "Write or paste a text to see which topic it falls into" : "Fill in or paste a row to see which cluster it falls into";
    fill(answer, el("p", { class: "empty" }, `${ask}, and why.`));
    say(null);
    if (pending) receive({ detail: pending });
  }

  /** Says what is wrong, next to the column it is about where there is one. */
  function say(trouble) {
    editor?.mark(null);
    const column = trouble && (trouble.column ?? columnOf(trouble.place, store.get().scene?.inputs ?? []));
    const text = trouble ? sentence(trouble) : "";
    const placed = column !== null && column !== undefined && editor?.mark(column, text);
    problem.hidden = !trouble || Boolean(placed);
    problem.textContent = column && !placed ? `${column}: ${text}` : text;
  }

  async function tryIt() {
    control?.abort();
    const mine = (control = new AbortController());
    try {
      const asked = editor.body();
      say(null);
      if (!answer.querySelector(".p-head")) fill(answer, el("p", { class: "soft" }, "Looking…"));
      answer.setAttribute("aria-busy", "true");
      const found = await store.api.post("explain", asked, { signal: mine.signal });
      if (mine.signal.aborted) return;
      store.set({ probe: found });
      fill(answer, drawAnswer(store, found), el("button", { class: "button", type: "button", onclick: clear }, "Clear"));
      // the answer is what one waits for; in a low panel it would lie below the edge
      answer.scrollIntoView({ block: "nearest" });
    } catch (trouble) {
      if (mine.signal.aborted) return;
      if (!(trouble instanceof RowError) && trouble.status === undefined) console.error(trouble);
      clear(); // what was found for another row would look like the answer
      say(trouble);
    } finally {
      if (control === mine) answer.removeAttribute("aria-busy");
    }
  }

  function clear() {
    store.set({ probe: null });
    fill(answer);
    say(null);
  }

  function receive({ detail }) {
    pending = editor ? null : detail;
    if (!editor) return;
    editor.take(detail);
    tryIt();
  }

  document.addEventListener("shoal:probe", receive);
  const offs = [store.on(["scene"], build)];
  build(store.get());
  return {
    destroy() {
      control?.abort();
      document.removeEventListener("shoal:probe", receive);
      offs.forEach((off) => off());
    },
  };
}

/** The column an error of the service is about: "request, row 1, column 'rooms'". */
function columnOf(place, inputs) {
  return inputs.find(({ name }) => place?.includes(`column '${name}'`) || place === name)?.name ?? null;
}

function textEditor(store) {
  const area = el("textarea", { class: "field p-text", id: "p-text", rows: 4 });
  const example = () => {
    const { scene, selected } = store.get();
    const from = scene.clusters.find((c) => c.id === selected) ?? scene.clusters[0];
    if (from?.examples?.length) area.value = from.examples[0];
  };
  const node = el("div", null, el("label", { for: "p-text" }, "Text"), area, buttons("Use an example", "A text of the selected topic", example));
  return {
    node,
    body() {
      if (!area.value.trim()) throw new RowError("there is nothing to try yet: write a text");
      return { text: area.value };
    },
    take: ({ text, row }) => (area.value = text ?? Object.values(row ?? {}).join("\n")),
    mark: () => false,
  };
}

function rowEditor(inputs, store, say) {
  const typed = inputs.length <= MOST_FIELDS && inputs.every((input) => input.kind !== "vector");
  const cells = new Map(typed ? inputs.map((input, i) => [input.name, cellOf(input, i)]) : []);
  const area = el("textarea", { class: "field p-text", id: "p-paste", rows: 3, placeholder: hint(inputs), oninput: () => pasted(false) });
  const fields = el("div", { class: "p-fields" }, [...cells.values()].map((cell) => cell.node));
  const paste = el("details", { class: "p-paste", open: !typed }, el("summary", null, "Paste a row"), el("label", { class: "sr", for: "p-paste" }, "Row"), area);
  const node = el("div", null, typed ? fields : null, paste, buttons("Use a typical row", "The centre of the selected cluster, or else of the largest", typical));

  function show(row) {
    for (const [name, cell] of cells) cell.input.value = row[name] ?? "";
    if (typed) return;
    const shown = inputs.length === 1 ? row[inputs[0].name] : row;
    area.value = shown === null || shown === undefined ? "" : JSON.stringify(shown);
  }

  /** Puts what is pasted into the fields; while it is being written it may still be wrong. */
  function pasted(aloud) {
    try {
      const row = rowFromText(area.value, inputs);
      if (typed) show(row);
      say(null);
      return row;
    } catch (trouble) {
      if (aloud) throw trouble;
      return null;
    }
  }

  async function typical() {
    const { scene, selected } = store.get();
    const means = Object.fromEntries(scene.columns.filter((c) => !c.is_category).map((c) => [c.name, c.mean]));
    try {
      const { clusters } = await store.api.get("clusters");
      const largest = clusters.reduce((best, c) => (c.share > best.share ? c : best));
      show(typicalRow(inputs, (clusters.find((c) => c.id === selected) ?? largest).centre));
    } catch {
      show(typicalRow(inputs, means));
    }
    say(null);
  }

  return {
    node,
    body() {
      if (!typed) return { row: pasted(true) };
      const row = Object.fromEntries(inputs.map((input) => [input.name, valueOf(cells.get(input.name).input.value.trim(), input)]));
      if (Object.values(row).every((value) => value === null)) throw new RowError("there is nothing to try yet: fill in a row");
      return { row };
    },
    take({ row }) {
      show(row ?? {});
    },
    mark(column, text = "") {
      for (const cell of cells.values()) cell.mark("");
      return Boolean(column && cells.get(column)?.mark(text));
    },
  };
}

/**
 * A row as a cluster's centre has it: of a category the value that is most frequent there.
 * @param {import("./probe_row.js").Input[]} inputs
 * @param {Record<string, number | null>} centre by the names of the model's features
 * @returns {Record<string, number | string | number[] | null>}
 */
export function typicalRow(inputs, centre) {
  const short = (value) => (Number.isFinite(value) ? Number(value.toPrecision(6)) : null);
  const one = ({ name, kind, width }) => {
    if (kind === "number") return short(centre[name]);
    if (kind === "vector") {
      const values = Object.values(centre);
      return values.length === width ? values.map(short) : null;
    }
    const found = Object.entries(centre).filter(([feature]) => feature.startsWith(`${name}=`));
    const [feature] = found.reduce((best, pair) => (pair[1] > best[1] ? pair : best), ["", -Infinity]);
    return feature ? feature.slice(name.length + 1) : null;
  };
  return Object.fromEntries(inputs.map((input) => [input.name, one(input)]));
}

function cellOf({ name, kind }, i) {
  const ids = [`p-field-${i}`, `p-field-${i}-problem`];
  const input = el("input", { class: "field", id: ids[0], type: "text", autocomplete: "off", spellcheck: "false", inputmode: kind === "number" ? "decimal" : "text" });
  const note = el("span", { class: "error", id: ids[1], role: "alert", hidden: true });
  return {
    input,
    node: el("div", { class: "p-cell" }, el("label", { for: ids[0], title: name }, name), input, note),
    mark(text) {
      note.hidden = !text;
      note.textContent = text;
      input.toggleAttribute("aria-invalid", Boolean(text));
      if (text) input.setAttribute("aria-invalid", "true");
      if (text) input.setAttribute("aria-describedby", ids[1]);
      else input.removeAttribute("aria-describedby");
      if (text) input.focus();
      return true;
    },
  };
}

function buttons(label, title, onclick) {
  return el("div", { class: "row p-buttons" },
    el("button", { class: "button primary", type: "submit" }, "Try it"),
    el("button", { class: "button", type: "button", title, onclick }, label),
    el("span", { class: "soft p-keys" }, "Ctrl + Enter"));
}

function hint(inputs) {
  const [first] = inputs;
  if (inputs.length === 1 && first.kind === "vector") return `[0.12, -0.4, …] (${first.width} numbers)`;
  const few = inputs.slice(0, 3).map(({ name }) => name);
  return `{"${few[0] ?? "column"}": …}  or one line: ${few.join(", ")}${inputs.length > 3 ? ", …" : ""}`;
}
