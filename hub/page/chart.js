// A day of temperatures: numbers on both axes, each limit with its value.
import { clock, el, now } from "./dom.js";

const DAY = 86400;
const GAP = 900; // seconds; over a longer silence no line is drawn
const HEIGHT = 150; // pixels, as all that is vertical; what is horizontal is a share of the width
const APART = 14; // pixels between two numbers above each other
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Round numbers from low to high, about four of them.
export function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) found.push(Number((n * step).toPrecision(12)));
  return found;
}

// 0, 6, 12 and 18 o'clock of the last day, in s; by the calendar, so that summer time does not shift them.
function hours(end) {
  const found = [];
  const at = new Date(end * 1000);
  at.setHours(Math.floor(at.getHours() / 6) * 6, 0, 0, 0);
  for (; at.getTime() / 1000 > end - DAY; at.setHours(at.getHours() - 6)) found.push(at.getTime() / 1000);
  return found;
}

function path(points, x, y) {
  return points.map(([t, v], i) => {
    const gap = i === 0 || t - points[i - 1][0] > GAP;
    return `${gap ? "M" : "L"}${(x(t) * 10).toFixed(1)} ${y(v).toFixed(1)}`;
  }).join("");
}

// The figure of a furnace's points [[s, °C]] in the last day, with its limits, the lower first; null without points.
export function chart(name, given, limits) {
  const end = now() / 1000;
  const points = given.filter(([t]) => t > end - DAY);
  if (!points.length) return null;
  const shown = points.map((p) => p[1]);
  const low = Math.min(...shown, ...limits), high = Math.max(...shown, ...limits), room = Math.max((high - low) * 0.1, 5);
  const x = (t) => 100 + ((t - end) / DAY) * 100; // percent
  const y = (v) => HEIGHT - ((v - low + room) / (high - low + 2 * room)) * HEIGHT;
  const about = `${name}: ${Math.min(...shown)} to ${Math.max(...shown)} °C in 24 hours`;
  const plot = svg("svg", { class: "plot", role: "img", "aria-label": about });
  const scale = svg("svg", { class: "scale", "aria-hidden": "true" });

  function level(cls, v, aside = 0) {
    plot.append(svg("line", { class: cls, x1: 0, x2: "100%", y1: y(v), y2: y(v) }));
    scale.append(svg("text", { class: cls, x: "100%", y: y(v) + aside }, `${Math.round(v * 10) / 10} °C`));
  }
  const free = (v) => limits.every((limit) => Math.abs(y(v) - y(limit)) >= APART);
  ticks(low - room, high + room).filter(free).forEach((v) => level("tick", v));
  const close = Math.max(0, APART - Math.abs(y(limits[0]) - y(limits[1]))) / 2 || 0;
  limits.forEach((limit, i) => level("limit", limit, i ? -close : close));

  plot.append(svg("line", { class: "axis", x1: 0, x2: "100%", y1: HEIGHT, y2: HEIGHT }));
  for (const t of hours(end)) {
    plot.append(svg("line", { class: "tick", x1: `${x(t)}%`, x2: `${x(t)}%`, y1: 0, y2: HEIGHT }));
    if (x(t) > 4 && x(t) < 80) plot.append(svg("text", { class: "hour", x: `${x(t)}%`, y: HEIGHT + 16 }, clock(t * 1000)));
  }
  plot.append(svg("text", { class: "now", x: "100%", y: HEIGHT + 16 }, "now"));

  const [at, last] = points[points.length - 1];
  const curve = svg("svg", { viewBox: `0 0 1000 ${HEIGHT}`, width: "100%", height: HEIGHT, preserveAspectRatio: "none" });
  curve.append(svg("path", { class: "line", d: path(points, x, y) }));
  curve.append(svg("path", { class: "end", d: `M${(x(at) * 10).toFixed(1)} ${y(last).toFixed(1)}h0` }));
  plot.append(curve);
  const figure = el("figure");
  figure.append(scale, plot);
  return figure;
}
