// What charts and timelines share: elements, scales, number formats, class colors and the tooltip.
// Names come from users: they enter the page as text nodes and attributes only, never as markup.
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const HUES = 7; // classes beyond the seventh repeat the hues under a texture
DATA.videos = DATA.videos.map(unpackVideo);
const byId = (id) => document.getElementById(id);

/** Rows of numbers as timelines.py packs them -> objects; `axis` is how many seconds the timeline spans. */
function unpackVideo({ name, duration, ap, truth, detections }, place) {
  const video = { name, duration, ap, place, truth: null };
  if (truth) video.truth = truth.map(([start, end, label], index) => ({ start, end, label, index }));
  video.detections = detections.map(([start, end, score, label, verdict = null, tiou = null, instance = -1]) =>
    ({ start, end, score, label, verdict, tiou, instance: instance < 0 ? null : instance }));
  const ends = (duration ? video.truth || [] : [...(video.truth || []), ...video.detections]).map((item) => item.end);
  video.axis = Math.max(duration || 0, ...ends) || 1;
  return video;
}

function element(name, attributes = {}, ...children) {
  const svg = SVG_NAMES.has(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const SVG_NAMES = new Set(["svg", "g", "rect", "line", "path", "circle", "text", "pattern", "defs", "clipPath"]);

const fixed = (value, digits) => (value === null ? "–" : value.toFixed(digits));
const seconds = (value) => `${fixed(value, 2)} s`;
const count = (n, one, many = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** Four significant digits, with an exponent only where it is shorter. */
function short(value) {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e\+?/, "e").replace("-", "−");
  return String(Number(value.toPrecision(size >= 1000 ? 6 : 4)));
}

/** A score: three digits, so that a column of them lines up. */
const scoreText = (value) => (Math.abs(value) >= 1e-3 && Math.abs(value) < 100 ? value.toPrecision(3) : short(value));

/** The pixels inside an element, without its padding. */
function room(place) {
  const style = getComputedStyle(place);
  const inside = (whole, ...sides) => whole - sides.reduce((sum, side) => sum + parseFloat(style[side]), 0);
  return [inside(place.clientWidth, "paddingLeft", "paddingRight"), inside(place.clientHeight, "paddingTop", "paddingBottom")];
}

const BAR_FONT = '600 11px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const pen = document.createElement("canvas").getContext("2d");
pen.font = BAR_FONT;

/** What fits of `text` into `pixels`: all of it, its first three letters or more with an ellipsis, or nothing. */
function fitting(text, pixels) {
  if (pen.measureText(text).width <= pixels) return text;
  const letters = [...text];
  for (let n = Math.min(letters.length - 1, Math.floor(pixels / 4)); n >= 3; n -= 1) {
    const start = letters.slice(0, n).join("") + "…";
    if (pen.measureText(start).width <= pixels) return start;
  }
  return "";
}

/** Round values inside [low, high], about `wanted` of them. */
function ticks(low, high, wanted) {
  const raw = (high - low) / Math.max(1, wanted);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

const scale = (from, to, start, end) => (value) => start + ((value - from) / (to - from || 1)) * (end - start);

const hueOf = (label) => `var(--class-${label % HUES})`;
const fillOf = (label) => (label < HUES ? hueOf(label) : `url(#texture-${label})`);
const inkOn = (label) => (label < HUES ? `var(--on-${label})` : "var(--ink)");

/** One pattern for every class beyond the plain hues: stripes, then dots, then crossed stripes. */
function drawTextures() {
  const marks = ["M-1 7L7-1M-1 1L1-1M5 7L7 5", "M1.5 1.5h2v2h-2z", "M0 3h6M3 0v6"];
  DATA.labels.forEach((_, label) => {
    if (label < HUES) return;
    const kind = (Math.floor(label / HUES) - 1) % marks.length;
    const pattern = element("pattern", { id: `texture-${label}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" });
    pattern.append(element("rect", { width: 6, height: 6, style: `fill:${hueOf(label)};opacity:.45` }));
    pattern.append(element("path", { d: marks[kind], style: `stroke:${hueOf(label)};stroke-width:2;fill:${kind === 1 ? hueOf(label) : "none"}` }));
    byId("textures").append(pattern);
  });
}

function swatch(label) {
  const box = element("svg", { class: "swatch", viewBox: "0 0 12 12", "aria-hidden": "true" });
  box.append(element("rect", { x: 0.5, y: 0.5, width: 11, height: 11, rx: 2.5, style: `fill:${fillOf(label)};stroke:${hueOf(label)}` }));
  return box;
}

/** Show `rows` ([name, value] pairs) under a title beside the pointer. */
function showTooltip(event, title, rows, label = null) {
  const box = byId("tooltip");
  const head = element("div", { class: "title" });
  if (label !== null) head.append(swatch(label));
  head.append(title);
  box.replaceChildren(head);
  for (const [name, value] of rows) {
    box.append(element("div", { class: "row" }, element("span", {}, name), element("span", {}, value)));
  }
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const right = event.clientX + 14 + width < innerWidth - 8;
  const below = event.clientY + 14 + height < innerHeight - 8;
  box.style.left = `${Math.max(8, right ? event.clientX + 14 : event.clientX - 14 - width)}px`;
  box.style.top = `${Math.max(8, below ? event.clientY + 14 : event.clientY - 14 - height)}px`;
}
const hideTooltip = () => { byId("tooltip").hidden = true; };
