// One card for each video: ground truth above, detections below, and the list of them.

const VERDICTS = DATA.verdicts;
const CORRECT = DATA.correct;
const AT_TIOU = `At tIoU ${DATA.tiou}`;
// What the reader has chosen; controls.js changes it and renders again.
const state = { threshold: 0, classes: new Set(), order: "name", find: "", page: 0, listed: new Set() /* videos with an open list */ };

const isWrong = (detection) => detection.verdict !== null && detection.verdict !== CORRECT;
const chosen = (item) => state.classes.size === 0 || state.classes.has(item.label);

/** The part of a video that the chosen threshold and classes show; `found`: instances found by a correct detection. */
function look(video) {
  const detections = video.detections.filter((d) => d.score >= state.threshold && chosen(d));
  const truth = (video.truth || []).filter(chosen);
  const correct = detections.filter((d) => d.verdict === CORRECT);
  const wrong = detections.filter(isWrong);
  return { detections, truth, correct, wrong, found: new Set(correct.map((d) => d.instance)) };
}

const opacityOf = (score) => {
  const [low, high] = DATA.score_range;
  return 0.1 + 0.58 * Math.sqrt(Math.min(1, Math.max(0, (score - low) / (high - low || 1))));
};

/** The first row in which each bar, best first, touches no other; returns the number of rows. */
function intoRows(bars, gap) {
  const rows = [];
  for (const bar of bars) {
    let row = rows.findIndex((taken) => taken.every((other) => bar.start >= other.end + gap || other.start >= bar.end + gap));
    if (row < 0) row = rows.push([]) - 1;
    rows[row].push(bar);
    bar.row = row;
  }
  return rows.length;
}

/** [start, end] of an item in pixels: inside the axis, and at least three wide so that a zero-length one is seen. */
function extent(item, x, left, right) {
  const start = Math.min(right - 3, Math.max(left, x(item.start)));
  return { start, end: Math.max(start + 3, Math.min(right, x(item.end))), item };
}

function drawBar(chart, bar, y, height, kind) {
  const { item, start, end } = bar;
  const hollow = kind === "missed";
  const wrong = kind === "detection" && isWrong(item);
  const opacity = hollow ? 0.08 : kind === "detection" ? opacityOf(item.score) : 1;
  const rect = element("rect", {
    x: start + 0.5, y: y + 0.5, width: Math.max(1, end - start - 1), height: height - 1, rx: Math.min(3, height / 4), class: "bar",
    style: `fill:${fillOf(item.label)};fill-opacity:${opacity.toFixed(2)};stroke:${hueOf(item.label)};stroke-width:${wrong || hollow ? 1.5 : 1};`
      + (wrong || hollow ? "stroke-dasharray:3 2" : ""),
  });
  rect.item = item;
  rect.kind = kind;
  chart.append(rect);
  const mark = kind !== "detection" || item.verdict === null ? "" : wrong ? "✗" : "✓";
  const space = end - start - 8;
  if (height < 15 || space < 8) return;
  const name = fitting(DATA.labels[item.label], space - (mark ? 14 : 0));
  const style = `fill:${kind === "found" ? inkOn(item.label) : "var(--ink)"}`;
  const look = item.label < HUES ? "bar-label" : "bar-label on-texture";
  chart.append(element("text", { x: start + 5, y: y + height / 2 + 4, class: look, style }, `${mark} ${name}`.trim()));
}

function drawAxis(chart, length, x, left, right, top, bottom) {
  for (const tick of ticks(0, length, (right - left) / 90)) {
    chart.append(element("line", { x1: x(tick), x2: x(tick), y1: top, y2: bottom, class: "grid" }));
    const anchor = x(tick) > right - 16 ? "end" : x(tick) < left + 8 ? "start" : "middle";
    chart.append(element("text", { x: x(tick), y: bottom + 13, "text-anchor": anchor }, `${tick} s`));
  }
  chart.append(element("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" }));
}

function drawTimeline(video, seen, width) {
  const narrow = width < 560;
  const left = narrow ? 0 : 84, right = width, caption = narrow ? 15 : 0;
  const x = scale(0, video.axis, left, right);
  const truth = seen.truth.map((item) => extent(item, x, left, right));
  const bars = seen.detections.map((item) => extent(item, x, left, right));
  const truthRows = Math.max(1, intoRows(truth, 1)), rows = Math.max(1, intoRows(bars, 1));
  const truthHeight = truthRows > 3 ? 12 : 20, barHeight = rows > 8 ? 6 : rows > 4 ? 10 : 17;
  const truthTop = 4 + caption, truthBottom = truthTop + (video.truth === null ? -4 - caption : truthRows * (truthHeight + 2));
  const barTop = truthBottom + 6 + caption, bottom = barTop + rows * (barHeight + 2) + 4;
  const chart = element("svg", { width, height: bottom + 18, role: "img", "aria-label": `${video.name}: ${spoken(video, seen)}` });
  drawAxis(chart, video.axis, x, left, right, 0, bottom);
  if (video.truth !== null) {
    chart.append(element("text", { x: 0, y: narrow ? 12 : truthTop + 14 }, "ground truth"));
    if (!truth.length) chart.append(element("text", { x: left + 6, y: truthTop + 14 }, "no instance"));
    truth.forEach((bar) => drawBar(chart, bar, truthTop + bar.row * (truthHeight + 2), truthHeight, seen.found.has(bar.item.index) ? "found" : "missed"));
  }
  chart.append(element("text", { x: 0, y: narrow ? barTop - 3 : barTop + 13 }, "detections"));
  if (!bars.length) chart.append(element("text", { x: left + 6, y: barTop + 13 }, "none with this score"));
  bars.forEach((bar) => drawBar(chart, bar, barTop + bar.row * (barHeight + 2), barHeight, "detection"));
  return chart;
}

function spoken(video, { detections, truth, wrong, found }) {
  const detected = count(detections.length, "detection");
  if (video.truth === null) return detected;
  const met = truth.length ? `${found.size} of ${count(truth.length, "instance")} found` : "no instance";
  return `${met}, ${detected}${wrong.length ? ` (${wrong.length} false)` : ""}`;
}

function describe(event) {
  const bar = event.target;
  if (!bar.item) return hideTooltip();
  const { item, kind } = bar, video = bar.closest(".video").video;
  const rows = [["Segment", `${fixed(item.start, 2)} – ${seconds(item.end)}`], ["Length", seconds(item.end - item.start)]];
  if (kind !== "detection") {
    rows.push(["Ground truth", kind === "found" ? "found" : "missed at this threshold"]);
    return showTooltip(event, DATA.labels[item.label], rows, item.label);
  }
  rows.unshift(["Score", scoreText(item.score)]);
  if (item.verdict !== null) {
    const best = item.instance === null ? null : video.truth[item.instance];
    rows.push(["Best ground truth", best ? `${DATA.labels[best.label]} ${fixed(best.start, 2)} – ${seconds(best.end)}` : "none overlaps"]);
    rows.push(["tIoU", fixed(item.tiou, 2)]);
    rows.push([AT_TIOU, item.verdict === CORRECT ? "✓ correct" : `✗ ${VERDICTS[item.verdict]}`]);
  }
  showTooltip(event, DATA.labels[item.label], rows, item.label);
}

function detectionTable(video, { detections }) {
  const judged = video.truth !== null;
  const head = ["#", "Class", "Score", "Start", "End", ...(judged ? ["tIoU", AT_TIOU] : [])];
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...head.map((name) => element("th", {}, name)))));
  const body = detections.map((d, i) => {
    const name = element("td", {}, swatch(d.label), DATA.labels[d.label]);
    const cells = [String(i + 1), name, scoreText(d.score), seconds(d.start), seconds(d.end)];
    if (judged) cells.push(fixed(d.tiou, 2), `${d.verdict === CORRECT ? "✓" : "✗"} ${VERDICTS[d.verdict]}`);
    return element("tr", {}, ...cells.map((cell) => (cell instanceof Node ? cell : element("td", {}, cell))));
  });
  table.append(element("tbody", {}, ...body));
  return table;
}

function videoCard(video) {
  const seen = look(video);
  const facts = [!video.duration ? null : `${fixed(video.duration, 1)} s`, spoken(video, seen)];
  if (video.ap !== null) facts.push(`AP@${DATA.tiou} ${fixed(video.ap, 2)}`);
  const head = element("header", {}, element("h3", {}, video.name), ...facts.filter(Boolean).map((fact) => element("span", {}, fact)));
  const card = element("article", { class: "card video" }, head);
  card.video = video;
  const list = element("details", {}, element("summary", {}, "List of these detections"), element("div"));
  list.open = state.listed.has(video.name);
  const fill = () => list.lastChild.replaceChildren(detectionTable(video, seen));
  if (list.open) fill();
  list.addEventListener("toggle", () => {
    state.listed[list.open ? "add" : "delete"](video.name);
    if (list.open) fill();
  });
  card.append(element("div", { class: "plot" }), list);
  card.seen = seen;
  return card;
}
