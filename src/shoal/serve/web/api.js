/** Requests to the service, and its feed of messages. */

import { readToken } from "./token.js";

/** An answer that is an error; the service says what, where and what helps. */
export class ApiError extends Error {
  /** @param {number} status 0 if there was no answer @param {{error?: string, place?: string, remedy?: string}} [body] */
  constructor(status, body = {}) {
    super(body.error || `the service answered ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.error = this.message;
    this.place = body.place || "";
    this.remedy = body.remedy || "";
  }
}

/**
 * @typedef {object} ModelApi
 * @property {(path: string, params?: object, options?: {signal?: AbortSignal}) => Promise<any>} get
 * @property {(path: string, body: any, options?: {signal?: AbortSignal}) => Promise<any>} post
 * @property {(path: string, body: any, options?: {signal?: AbortSignal}) => Promise<any>} put
 */

/** Requests below one address: `apiOf("/v1/models/visits").get("scene")`.
 * @param {string} base
 * @returns {ModelApi}
 */
export function apiOf(base) {
  return {
    get: (path, params, options) => ask("GET", address(base, path, params), undefined, options),
    post: (path, body, options) => ask("POST", address(base, path), body, options),
    put: (path, body, options) => ask("PUT", address(base, path), body, options),
  };
}

/** @param {string} model @returns {ModelApi} */
export function modelApi(model) {
  return apiOf(`/v1/models/${encodeURIComponent(model)}`);
}

function address(base, path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return `${base}/${path}${text ? `?${text}` : ""}`;
}

async function ask(method, url, body, options = {}) {
  const headers = withToken({ Accept: "application/json" });
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method, headers, signal: options.signal, cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new ApiError(0, { error: "the service cannot be reached", remedy: "see whether it is still running" });
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(answer.status, value);
  return value;
}

function withToken(headers) {
  const token = readToken();
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

const LONGEST_WAIT = 15_000;
const LONGEST_SILENCE = 45_000; // the service sends a comment every 15 s

/** Reads the feed of a model until it is closed; comes back by itself, where it left off.
 *
 * @param {string} model
 * @param {(kind: string, data: any) => void} onMessage
 * @param {(state: "live" | "waiting" | "lost", gap: number) => void} onState gap: ms without a connection, at "live"
 * @returns {{close: () => void}}
 */
export function openFeed(model, onMessage, onState) {
  const control = new AbortController();
  let last = "";
  let tries = 0;
  let lostAt = 0;

  async function read() {
    const quiet = new AbortController();
    const signal = AbortSignal.any([control.signal, quiet.signal]);
    const watch = () => setTimeout(() => quiet.abort(), LONGEST_SILENCE);
    let timer = watch();
    try {
      const headers = withToken({ Accept: "text/event-stream" });
      if (last) headers["Last-Event-ID"] = last;
      const answer = await fetch(`/v1/events?model=${encodeURIComponent(model)}`, { headers, signal, cache: "no-store" });
      if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => ({})));
      onState("live", lostAt ? performance.now() - lostAt : 0);
      lostAt = 0;
      tries = 0;
      const parse = messageParser((kind, data, id) => {
        if (id) last = id;
        // a count that is behind ours is that of a service that was started anew: what we hold may be of another life
        if (kind === "hello" && data?.number < Number(last)) {
          last = "";
          onMessage("gap", {});
        } else if (data !== null) onMessage(kind, data);
      });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = watch();
        parse(value);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async function run() {
    while (!control.signal.aborted) {
      try {
        await read();
      } catch {
        // every reason is the same here: wait, and try again
      }
      if (control.signal.aborted) return;
      lostAt ||= performance.now();
      onState(tries < 2 ? "waiting" : "lost", 0);
      await pause(Math.min(1000 * 2 ** tries++, LONGEST_WAIT), control.signal);
    }
  }

  run();
  return { close: () => control.abort() };
}

/** Takes pieces of a text/event-stream as they come and calls `onMessage` for each whole message.
 * @param {(kind: string, data: any, id: string) => void} onMessage data: null if it was not JSON
 * @returns {(piece: string) => void}
 */
export function messageParser(onMessage) {
  let rest = "";
  let message = { kind: "message", data: [], id: "" };
  function line(text) {
    if (text === "") {
      if (message.data.length) onMessage(message.kind, parsed(message.data.join("\n")), message.id);
      message = { kind: "message", data: [], id: "" };
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "event") message.kind = value;
    else if (field === "data") message.data.push(value);
    else if (field === "id") message.id = value;
  }
  return (piece) => {
    rest += piece;
    // a carriage return at the very end may be half of a line end
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    }
    // no need to sit out the wait once the network is back
    window.addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
