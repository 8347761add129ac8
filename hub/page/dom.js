// Elements, and words for times. Everything that comes from outside goes into the page as text, never as markup.
let offset = 0;

export const $ = (id) => document.getElementById(id);

export function el(tag, text, cls) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (cls) made.className = cls;
  return made;
}

export function fill(id, items, empty) {
  $(id).replaceChildren(...(items.length ? items : [el("p", empty, "dim")]));
}

// What of a list there is no room for is said.
export function withRest(items, all) {
  return all > items.length ? [...items, el("p", `${all - items.length} more are not shown here.`, "dim")] : items;
}

export function card(title, state, cls, detail) {
  const made = el("article");
  const head = el("h3", title);
  head.append(" ", el("span", state, cls));
  made.append(head, el("p", detail, "dim"));
  return made;
}

// The hub's clock counts, not the browser's.
export function setClock(ms) { offset = ms - Date.now(); }

export function now() { return Date.now() + offset; }

export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export function ago(ms) {
  return ms === null || ms === undefined ? "never" : `${span(now() - ms)} ago`;
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}
