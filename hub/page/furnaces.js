// The furnaces: what each is at, and its last 24 hours. What cannot be asked is unknown, not cold.
import { ago, card, clock, el, fill, span } from "./dom.js";
import { chart } from "./chart.js";

let last = { furnaces: [], at: null, problem: null };

// Points are means of five minutes: what it is now is the newest sample.
function newest(f) {
  if (f.newest !== null) return f.newest;
  return f.points.length ? f.points[f.points.length - 1][1] : null;
}

function measured(f, limits) {
  const value = newest(f);
  const out = value !== null && ((f.low !== null && value < f.low) || (f.high !== null && value > f.high));
  const silent = f.age_s === null || f.age_s > f.silent_after;
  const state = value === null ? "no data" : silent ? `silent, was ${value} °C` : `${value} °C`;
  const sample = f.age_s === null ? "not in 24 hours" : `${span(f.age_s * 1000)} ago`;
  const detail = `${limits}last sample ${sample}`;
  if (f.off) return card(f.label || f.id, silent || value === null ? "off" : `off, ${state}`, "dim", detail);
  return card(f.label || f.id, state, silent || value === null || out ? "bad" : "good", detail);
}

function unknown(f, limits, problem, at) {
  const value = newest(f);
  const before = value === null || f.age_s === null ? "nothing is known of it yet"
    : `it was ${value} °C ${ago((at - f.age_s) * 1000)}`;
  return card(f.label || f.id, `unknown: ${problem}`, "warn", limits + before);
}

function furnace(f, problem, at) {
  const degrees = (limit) => (limit === null ? "–" : Math.round(limit));
  const limits = f.low !== null || f.high !== null ? `limits ${degrees(f.low)} to ${degrees(f.high)} °C, ` : "";
  const made = problem ? unknown(f, limits, problem, at) : measured(f, limits);
  const picture = chart(f.label || f.id, f.points, [f.low, f.high].filter((limit) => limit !== null));
  if (!picture) return made;
  if (problem) {
    picture.className = "old";
    made.append(el("p", `The picture is of ${clock(at * 1000)}, ${ago(at * 1000)}:`, "warn"));
  }
  made.append(picture);
  return made;
}

function show({ furnaces, at, problem }) {
  const items = furnaces.map((f) => furnace(f, problem, at));
  if (problem && !items.length) items.push(el("p", problem, "warn"));
  fill("furnaces", items, "No furnace has sent a temperature in the last 24 hours.");
}

export async function furnaces() {
  try {
    const answer = await fetch("/live/furnaces");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    last = await answer.json();
  } catch {
    last = { ...last, problem: "the hub does not answer" };
  }
  show(last);
}
