/** One row written by hand or pasted: JSON, or a line of values with or without a line of names above it. */

/**
 * @typedef {{name: string, kind: "number"|"text"|"vector", width: number}} Input
 */

/** What is wrong with a row, and the column it is about if there is one. */
export class RowError extends Error {
  /**
   * @param {string} message
   * @param {string|null} column
   */
  constructor(message, column = null) {
    super(message);
    this.column = column;
  }
}

/**
 * Values of one line; fields in double quotes may hold the separator.
 * @param {string} line
 * @param {string} separator
 * @returns {string[]}
 */
export function cellsOf(line, separator) {
  const cells = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i];
    if (quoted && c === '"' && line[i + 1] === '"') {
      cell += c;
      i++;
    } else if (c === '"' && (quoted || cell.trim() === "")) {
      quoted = !quoted;
    } else if (c === separator && !quoted) {
      cells.push(cell.trim());
      cell = "";
    } else {
      cell += c;
    }
  }
  return [...cells, cell.trim()];
}

/**
 * A value as its column wants it; an empty one is null.
 * @param {unknown} value
 * @param {Input} input
 * @returns {number|string|number[]|null}
 */
export function valueOf(value, input) {
  if (value === null || value === undefined || value === "") return null;
  if (input.kind === "vector") return vectorOf(value, input);
  if (input.kind === "text") return typeof value === "object" ? JSON.stringify(value) : String(value);
  const number = typeof value === "number" ? value : Number(String(value).replace("−", "-"));
  if (Number.isFinite(number) && typeof value !== "object" && typeof value !== "boolean") return number;
  throw new RowError(`not a number: ${String(value).slice(0, 40)}`, input.name);
}

function vectorOf(value, input) {
  const items = Array.isArray(value) ? value : String(value).replace(/^[[(]|[\])]$/g, "").split(/[\s,;]+/).filter(Boolean);
  const numbers = items.map(Number);
  if (!numbers.every(Number.isFinite)) throw new RowError("a vector is a list of numbers", input.name);
  if (input.width && numbers.length !== input.width) {
    throw new RowError(`has ${numbers.length} numbers, the model takes ${input.width}`, input.name);
  }
  return numbers;
}

/**
 * The row in a pasted text.
 * @param {string} text a JSON object or list, or a CSV or tab-separated line in the order of the inputs or under a header
 * @param {Input[]} inputs
 * @returns {Record<string, number|string|number[]|null>}
 */
export function rowFromText(text, inputs) {
  const trimmed = text.trim();
  if (!trimmed) throw new RowError("there is nothing to try yet: paste a row");
  const vector = inputs.length === 1 && inputs[0].kind === "vector";
  if (trimmed.startsWith("{")) return rowFromObject(parsed(trimmed), inputs);
  if (vector) return rowFromValues([trimmed.startsWith("[") ? parsed(trimmed) : trimmed], inputs);
  if (!trimmed.startsWith("[")) return rowFromLines(trimmed.split(/\r?\n/).filter((l) => l.trim()), inputs);
  const list = parsed(trimmed);
  const one = list.length === 1 && typeof list[0] === "object" && list[0] !== null;
  if (one && !Array.isArray(list[0])) return rowFromObject(list[0], inputs);
  return rowFromValues(one ? list[0] : list, inputs);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RowError(`this is not JSON: ${error.message}`);
  }
}

function rowFromObject(object, inputs) {
  const given = object.row && typeof object.row === "object" ? object.row : object;
  if (!inputs.some((input) => input.name in given)) {
    throw new RowError(`none of the model's columns is there: ${names(inputs)}`);
  }
  return Object.fromEntries(inputs.map((input) => [input.name, valueOf(given[input.name], input)]));
}

function rowFromValues(values, inputs) {
  if (values.length !== inputs.length) {
    throw new RowError(`has ${values.length} values, the model takes ${inputs.length}: ${names(inputs)}`);
  }
  return Object.fromEntries(inputs.map((input, i) => [input.name, valueOf(values[i], input)]));
}

function rowFromLines(lines, inputs) {
  const separator = ["\t", ";", ","].find((s) => cellsOf(lines[0], s).length > 1) ?? ",";
  const head = cellsOf(lines[0], separator);
  const known = new Set(inputs.map((input) => input.name));
  const headed = lines.length > 1 && head.some((cell) => known.has(cell));
  if (lines.length > (headed ? 2 : 1)) throw new RowError("paste one row, with or without a line of names above it");
  if (!headed) return rowFromValues(head, inputs);
  const cells = cellsOf(lines[1], separator);
  if (cells.length !== head.length) throw new RowError(`has ${cells.length} values under ${head.length} names`);
  return rowFromObject(Object.fromEntries(head.map((name, i) => [name, cells[i]])), inputs);
}

function names(inputs) {
  return inputs.slice(0, 6).map((input) => input.name).join(", ") + (inputs.length > 6 ? ", …" : "");
}

/**
 * How odd an outlier score is, in words.
 * @param {number} score share of the rows learned from that lie less far out
 * @param {string} [what] what the rows are
 * @returns {{word: string, text: string}}
 */
export function oddness(score, what = "rows") {
  if (!Number.isFinite(score)) return { word: "unknown", text: "no distances are known to compare with" };
  const rest = 100 * (1 - score);
  if (rest <= 0) return { word: "very unusual", text: `farther out than all ${what} learned from` };
  const said = rest >= 1 ? Math.round(rest) : Number(rest.toPrecision(1)).toFixed(Math.min(4, Math.ceil(-Math.log10(rest))));
  if (score >= 0.99) return { word: "very unusual", text: `farther out than all but ${said} %` };
  if (score >= 0.9) return { word: "unusual", text: `farther out than all but ${said} %` };
  return { word: "ordinary", text: `${said} % of the ${what} lie farther out` };
}
