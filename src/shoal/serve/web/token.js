/** The token this page shows the service, and the dialog that asks for it. */

import { el } from "./dom.js";

const KEY = "shoal.token";
let inMemory = "";

/** The token of this tab; empty if there is none. */
export function readToken() {
  try {
    return sessionStorage.getItem(KEY) ?? inMemory;
  } catch {
    return inMemory;
  }
}

/** @param {string} token kept until the tab is closed; empty forgets it */
export function saveToken(token) {
  inMemory = token;
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // a browser that keeps nothing still has it in memory
  }
}

/** Takes `#token=...` from the address, and out of it, so that it is not copied or bookmarked with it. */
export function tokenFromAddress() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const token = hash.get("token");
  if (token === null) return;
  hash.delete("token");
  const rest = hash.toString();
  history.replaceState(null, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
  saveToken(token);
}

/** Asks for a token until one may read.
 * @param {() => Promise<{read: boolean}>} session what the token that is saved may do
 * @param {string} [problem] what was wrong before
 * @returns {Promise<object>} the session
 */
export function askForToken(session, problem = "") {
  return new Promise((resolve) => {
    const field = el("input", {
      class: "field wide", type: "password", id: "token-field", autocomplete: "current-password", required: true, "aria-describedby": "token-problem",
    });
    const note = el("p", { class: "error", id: "token-problem", role: "alert" }, problem);
    const button = el("button", { class: "button primary", type: "submit" }, "Continue");
    const form = el("form", { method: "dialog" },
      el("h2", null, "This service asks for a token"),
      el("p", { class: "soft" }, "Whoever started it has it. It stays in this tab until the tab is closed."),
      // managers of passwords want a name to keep it under
      el("input", { autocomplete: "username", value: "token", hidden: true, readonly: true }),
      el("label", { for: "token-field" }, "Token"), field, note,
      el("div", { class: "row end" }, button));
    const dialog = el("dialog", { class: "dialog small", "aria-label": "Token" }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      saveToken(field.value.trim());
      try {
        const found = await session();
        if (found.read) {
          dialog.close();
          dialog.remove();
          resolve(found);
          return;
        }
        note.textContent = "This token is not right.";
        saveToken("");
        field.select();
      } catch (trouble) {
        note.textContent = trouble.message;
      } finally {
        button.disabled = false;
      }
    });
    // Escape would leave a page that can show nothing
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
  });
}
