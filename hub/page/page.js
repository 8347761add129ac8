"use strict";
// Everything that comes from outside goes into the page as text, never as markup.
const OUTPUT_CHARS = 20000;
// A temperature that is older than this says nothing of the furnace now.
const SILENT_SECONDS = 180;
const runs = new Map();
let offset = 0;
let stream = null;
let asked = false;

const $ = (id) => document.getElementById(id);

function el(tag, text, cls) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (cls) made.className = cls;
  return made;
}

function fill(id, items, empty) {
  $(id).replaceChildren(...(items.length ? items : [el("p", empty, "dim")]));
}

function ago(ms) {
  if (ms === null || ms === undefined) return "never";
  const s = Math.max(0, Math.round((Date.now() + offset - ms) / 1000));
  if (s < 90) return `${s} s ago`;
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 129600) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86400)} days ago`;
}

function card(title, state, cls, detail) {
  const made = el("article");
  const head = el("h3", title);
  head.append(" ", el("span", state, cls));
  made.append(head, el("p", detail, "dim"));
  return made;
}

function device(d) {
  const state = d.revoked_at ? "revoked" : d.status || "";
  const battery = d.battery_pct === null ? "" : `, battery ${d.battery_pct} %`;
  const where = d.site ? `, ${d.site}` : "";
  return card(d.alias || d.device_id, state, d.revoked_at ? "bad" : "good",
    `${d.kind}${where}${battery}, last seen ${ago(d.last_seen_at)}`);
}

function wait(w) {
  return card(w.device_id || "any device", w.method, "warn",
    `${Math.round(w.elapsed)} of ${Math.round(w.timeout)} s${w.require_fresh ? ", fresh only" : ""}`);
}

function alertCard(a) {
  const cls = { info: "dim", warning: "warn" }[a.severity] || "bad";
  const made = card(a.name, a.severity, cls, `${a.summary} since ${new Date(a.since).toLocaleString()}`);
  if (a.about.length) made.append(el("p", a.about.join(", ")));
  return made;
}

function runCard(run) {
  const cls = { ok: "good", error: "bad", timeout: "bad" }[run.status] || "warn";
  const made = card(`${run.action} on ${run.device_id}`, run.status, cls,
    `${run.protocol}, ${run.bytes} bytes, ${ago(run.created_at)}${run.error ? ", " + run.error : ""}`);
  made.dataset.run = run.request_id;
  const pre = el("pre");
  pre.hidden = true;
  made.append(pre);
  return made;
}

function showRun(run) {
  const known = runs.get(run.request_id);
  const made = runCard(run);
  const output = known ? known.querySelector("pre") : made.querySelector("pre");
  made.querySelector("pre").replaceWith(output);
  if (known) known.replaceWith(made);
  else {
    if (!runs.size) $("runs").replaceChildren();
    $("runs").prepend(made);
  }
  runs.set(run.request_id, made);
  while (runs.size > 40) {
    const oldest = runs.keys().next().value;
    runs.get(oldest).remove();
    runs.delete(oldest);
  }
  return output;
}

function showChunk(chunk) {
  const made = runs.get(chunk.request_id);
  if (!made) return;
  const output = made.querySelector("pre");
  if (output.querySelector(`[data-seq="${Number(chunk.seq)}"]`)) return;
  const part = el("span", chunk.text, chunk.stream === "stderr" ? "stderr" : "");
  part.dataset.seq = chunk.seq;
  const after = [...output.children].find((e) => Number(e.dataset.seq) > chunk.seq);
  output.insertBefore(part, after || null);
  output.hidden = false;
  while (output.textContent.length > OUTPUT_CHARS && output.children.length > 1) output.firstChild.remove();
  output.scrollTop = output.scrollHeight;
}

function health(view) {
  const items = view.health.map((h) => card(h.part,
    h.ok === null ? "not set up" : h.ok ? "fine" : "away", h.ok === null ? "dim" : h.ok ? "good" : "bad", ""));
  for (const [part, text] of Object.entries(view.problems)) items.push(card(part, "problem", "bad", text));
  return items;
}

async function load() {
  const answer = await fetch("/live/view");
  if (answer.status === 401) { location.href = "/login"; return null; }
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const view = await answer.json();
  offset = view.now - Date.now();
  document.title = view.title;
  $("title").textContent = view.title;
  fill("devices", view.devices.map(device), "No device is known yet.");
  fill("waits", view.waits.map(wait), "Nobody is waiting.");
  fill("alerts", view.problem ? [el("p", view.problem, "warn")] : view.alerts.map(alertCard), "Nothing is firing.");
  fill("health", health(view), "");
  if (!view.runs.length && !runs.size) fill("runs", [], "No command was sent yet.");
  for (const run of [...view.runs].reverse()) {
    showRun(run);
    run.output.forEach((part) => showChunk({ request_id: run.request_id, ...part }));
  }
  return view;
}

function later() {
  if (asked) return;
  asked = true;
  setTimeout(() => { asked = false; load().catch(() => {}); }, 500);
}

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function chart(f) {
  const values = f.points.map((p) => p[1]).concat([f.low, f.high].filter((v) => v !== null));
  const low = Math.min(...values), high = Math.max(...values), room = (high - low) * 0.1 || 10;
  const end = (Date.now() + offset) / 1000;
  const x = (t) => ((t - (end - 86400)) / 86400) * 1000;
  const y = (v) => 200 - ((v - (low - room)) / (high - low + 2 * room)) * 200;
  const made = svg("svg", { viewBox: "0 0 1000 200", preserveAspectRatio: "none", role: "img", "aria-label": `${f.label || f.id}: temperature of 24 hours` });
  for (const limit of [f.low, f.high]) {
    if (limit !== null) made.append(svg("line", { class: "limit", x1: 0, x2: 1000, y1: y(limit), y2: y(limit) }));
  }
  let path = "";
  f.points.forEach(([t, v], i) => {
    const gap = i === 0 || t - f.points[i - 1][0] > 900;
    path += `${gap ? "M" : "L"}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
  });
  made.append(svg("path", { class: "line", d: path }));
  const [at, mean] = f.points[f.points.length - 1];
  made.append(svg("path", { class: "end", d: `M${x(at).toFixed(1)} ${y(mean).toFixed(1)}h0` }));
  return made;
}

function furnace(f) {
  // Points are means of five minutes: what it is now is the newest sample.
  const mean = f.points.length ? f.points[f.points.length - 1][1] : null;
  const last = f.newest === null ? mean : f.newest;
  const out = last !== null && ((f.low !== null && last < f.low) || (f.high !== null && last > f.high));
  const silent = f.age_s === null || f.age_s > SILENT_SECONDS;
  const degrees = (limit) => (limit === null ? "–" : Math.round(limit));
  const limits = f.low !== null || f.high !== null ? `limits ${degrees(f.low)} to ${degrees(f.high)} °C, ` : "";
  const state = last === null ? "no data" : silent ? `silent, was ${last} °C` : `${last} °C`;
  const made = card(f.label || f.id, state, silent || last === null || out ? "bad" : "good",
    `${limits}last sample ${f.age_s === null ? "not in 24 hours" : f.age_s + " s ago"}`);
  if (f.points.length) made.append(chart(f));
  return made;
}

async function furnaces() {
  try {
    const answer = await fetch("/live/furnaces");
    const found = await answer.json();
    const items = found.furnaces.map(furnace);
    if (found.problem) items.unshift(el("p", found.problem, "warn"));
    fill("furnaces", items, "No furnace has sent a temperature in the last 24 hours.");
  } catch {
    fill("furnaces", [el("p", "The hub does not answer.", "bad")], "");
  }
}

function connect(lastId) {
  const mounted = (performance.now() / 1000).toFixed(3);
  stream = new EventSource(`/live/events?last_id=${lastId}&mounted_s=${Math.min(mounted, 600)}`);
  stream.onopen = () => { $("link").textContent = "live"; $("link").className = "good"; };
  stream.onerror = () => {
    $("link").textContent = "away, trying again";
    $("link").className = "bad";
    if (stream.readyState === EventSource.CLOSED) setTimeout(start, 3000);
  };
  stream.addEventListener("run", (e) => showRun(JSON.parse(e.data)));
  stream.addEventListener("chunk", (e) => showChunk(JSON.parse(e.data)));
  stream.addEventListener("changed", later);
  stream.addEventListener("reset", later);
}

async function start() {
  try {
    const view = await load();
    if (view) connect(view.last_id);
  } catch {
    $("link").textContent = "the hub does not answer, trying again";
    $("link").className = "bad";
    setTimeout(start, 3000);
  }
}

start();
furnaces();
setInterval(furnaces, 15000);
setInterval(later, 10000);
