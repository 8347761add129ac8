import { $, ago, card, el, fill, now, setClock, span, withRest } from "./dom.js";
import { furnaces } from "./furnaces.js";
import { Output } from "./output.js";

const runs = new Map(); // request id: its article, Output and created_at
let oldest = 0; // of the runs that the hub shows; older ones are not shown here either
let stream = null;
let asked = false;

function device(d) {
  const silent = d.last_seen_at === null ? 0 : now() - d.last_seen_at;
  const stale = silent > d.silent_after_s * 1000;
  const [state, cls] = d.revoked_at ? ["revoked", "bad"] : stale ? [`silent for ${span(silent)}`, "dim"] : [d.status || "", "good"];
  const before = stale && !d.revoked_at && d.status ? `, it was ${d.status}` : "";
  const battery = d.battery_pct === null ? "" : `, battery ${d.battery_pct} %`;
  const where = d.site ? `, ${d.site}` : "";
  return card(d.alias || d.device_id, state, cls, `${d.kind}${where}${before}${battery}, last seen ${ago(d.last_seen_at)}`);
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
  return made;
}

// Its output is never moved: what is moved scrolls back to its beginning.
function showRun(run, tail) {
  const made = runCard(run);
  const known = runs.get(run.request_id);
  if (known) for (const part of ["h3", "p"]) known.article.querySelector(part).replaceWith(made.querySelector(part));
  else {
    const output = new Output(run.request_id);
    made.append(output.pre);
    if (!runs.size) $("runs").replaceChildren();
    $("runs").prepend(made);
    runs.set(run.request_id, { article: made, output, created: run.created_at });
  }
  const { output } = runs.get(run.request_id);
  output.add(tail);
  output.reconcile(run.chunks, tail);
}

// All that is shown is looked after: of what the hub does not show any more, nothing would tell what was missed.
function dropOld(shown) {
  oldest = shown.length ? shown[shown.length - 1].created_at : 0;
  for (const [id, { article, created }] of [...runs]) {
    if (created >= oldest) continue;
    article.remove();
    runs.delete(id);
  }
}

function runEvent(run) {
  if (run.created_at >= oldest) showRun(run, []);
}

function showChunk({ request_id: id, ...piece }) {
  if (runs.has(id)) runs.get(id).output.add([piece]);
}

function health(view) {
  const items = view.health.map(({ part, ok, why }) => {
    const [state, cls] = ok === null ? ["not set up", "dim"] : !ok ? ["away", "bad"] : why ? ["problem", "warn"] : ["fine", "good"];
    return card(part, state, cls, why || "");
  });
  for (const [part, text] of Object.entries(view.problems)) items.push(card(part, "problem", "bad", text));
  return items;
}

async function load() {
  const answer = await fetch("/live/view");
  if (answer.status === 401) { location.href = "/login"; return null; }
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const view = await answer.json();
  setClock(view.now);
  document.title = view.title;
  $("title").textContent = view.title;
  fill("devices", withRest(view.devices.map(device), view.known), "No device is known yet.");
  fill("waits", withRest(view.waits.map(wait), view.waiting), "Nobody is waiting.");
  fill("alerts", view.problem ? [el("p", view.problem, "warn")] : view.alerts.map(alertCard), "Nothing is firing.");
  fill("health", health(view), "");
  if (!view.runs.length && !runs.size) fill("runs", [], "No command was sent yet.");
  for (const run of [...view.runs].reverse()) showRun(run, run.output);
  dropOld(view.runs);
  return view;
}

function later() {
  if (asked) return;
  asked = true;
  setTimeout(() => { asked = false; load().catch(() => {}); }, 500);
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
  stream.addEventListener("run", (e) => runEvent(JSON.parse(e.data)));
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
