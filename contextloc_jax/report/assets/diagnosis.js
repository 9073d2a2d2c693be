// Why detections fail: errors by rank, what each costs, and which instances are hard.

const percent = (share, digits = 0) => (share === null ? "–" : `${(100 * share).toFixed(digits)}%`);
const errorColor = (i) => `var(--error-${i})`;

/** Horizontal lines at `marks` with their text left of `left`. */
function drawGrid(chart, marks, y, left, right) {
  for (const mark of marks) {
    chart.append(element("line", { x1: left, x2: right, y1: y(mark), y2: y(mark), class: mark ? "grid" : "axis" }));
    chart.append(element("text", { x: left - 6, y: y(mark) + 4, "text-anchor": "end" }, percent(mark)));
  }
}

/** Let pointing at `shape` show a tooltip. */
function explain(shape, title, rows) {
  const show = (event) => showTooltip(event, title, rows);
  shape.addEventListener("pointermove", show);
  shape.addEventListener("pointerdown", show);
  shape.addEventListener("pointerleave", hideTooltip);
}

function legendOf(names, color) {
  const square = (i) => element("svg", { class: "swatch", viewBox: "0 0 12 12", "aria-hidden": "true" },
    element("rect", { x: 0.5, y: 0.5, width: 11, height: 11, rx: 2.5, style: `fill:${color(i)}` }));
  return element("div", { class: "key" }, ...names.map((name, i) => element("span", {}, square(i), name)));
}

function drawErrorProfile(place) {
  const { verdicts, ranks } = DATA.diagnosis;
  place.replaceChildren();
  const width = room(place)[0], height = 250, left = 40, right = width, top = 8, bottom = height - 22;
  const y = scale(0, 1, bottom, top);
  const chart = element("svg", { width, height, role: "img", "aria-label": "Shares of correct detections and of each error, by rank" });
  drawGrid(chart, [0, 0.25, 0.5, 0.75, 1], y, left, right);
  const step = (right - left) / Math.max(1, ranks.length), wide = Math.min(64, 0.78 * step);
  ranks.forEach((shares, g) => {
    const middle = left + (g + 0.5) * step, column = element("g");
    let below = 0;
    shares.forEach((share, i) => {
      const from = y(below), to = y(below + share);
      if (share > 0) column.append(element("rect", { x: middle - wide / 2, width: wide, y: to, height: from - to, style: `fill:${errorColor(i)}` }));
      below += share;
    });
    column.append(element("text", { x: middle, y: height - 6, "text-anchor": "middle" }, `${g + 1}G`));
    explain(column, `Ranks ${g + 1}G`, verdicts.map((name, i) => [name, percent(shares[i], 1)]));
    chart.append(column);
  });
  place.append(chart, legendOf(verdicts, errorColor));
}

function drawErrorCosts(place) {
  const { verdicts, costs } = DATA.diagnosis;
  place.replaceChildren();
  const rows = [...costs].sort((a, b) => b.gain - a.gain);
  const width = room(place)[0], pitch = 46, height = rows.length * pitch + 4;
  const x = scale(0, Math.max(0.01, rows[0].gain), 0, width - 130);
  const chart = element("svg", { width, height, role: "img", "aria-label": "Gain of mAP without each kind of error" });
  rows.forEach(({ name, gain, mAP }, i) => {
    const top = i * pitch, row = element("g");
    row.append(element("text", { x: 0, y: top + 14 }, `without ${name}`));
    row.append(element("rect", { x: 0, y: top + 20, width: Math.max(1.5, x(gain)), height: 18, rx: 3, style: `fill:${errorColor(verdicts.indexOf(name))}` }));
    row.append(element("text", { x: Math.max(1.5, x(gain)) + 8, y: top + 33, class: "value" }, `+${(100 * gain).toFixed(1)} → mAP ${fixed(mAP, 3)}`));
    chart.append(row);
  });
  place.append(chart);
}

function drawBins(place, { name, bins }) {
  place.replaceChildren(element("b", {}, name));
  const columns = [["mAP_N", "var(--accent)"], ["missed", "var(--class-1)"]];
  const width = room(place)[0], height = 196, left = 38, right = width, top = 16, bottom = height - 36;
  const y = scale(0, 1, bottom, top);
  const chart = element("svg", { width, height, role: "img", "aria-label": `mAP_N and missed instances by: ${name}` });
  drawGrid(chart, [0, 0.5, 1], y, left, right);
  for (const [key, color] of columns) {
    const at = y(DATA.diagnosis[key]);
    chart.append(element("line", { x1: left, x2: right, y1: at, y2: at, style: `stroke:${color};stroke-dasharray:5 4;stroke-width:1.5` }));
  }
  const step = (right - left) / bins.length, wide = Math.min(30, 0.36 * step);
  bins.forEach((bin, b) => {
    const middle = left + (b + 0.5) * step, group = element("g");
    group.append(element("rect", { x: left + b * step, y: top, width: step, height: bottom - top, style: "fill:transparent" }));
    columns.forEach(([key, color], i) => {
      if (bin[key] === null) return;
      const start = middle + (i - 1) * (wide + 1) + 0.5;
      group.append(element("rect", { x: start, y: y(bin[key]), width: wide, height: bottom - y(bin[key]), style: `fill:${color}` }));
      group.append(element("text", { x: start + wide / 2, y: y(bin[key]) - 4, "text-anchor": "middle", class: "small" }, (100 * bin[key]).toFixed(0)));
    });
    if (!bin.instances) group.append(element("text", { x: middle, y: bottom - 6, "text-anchor": "middle" }, "none"));
    group.append(element("text", { x: middle, y: bottom + 15, "text-anchor": "middle", class: "value" }, bin.name));
    group.append(element("text", { x: middle, y: bottom + 29, "text-anchor": "middle", class: "small" }, bin.range));
    explain(group, `${bin.name}: ${bin.range}`,
      [["instances", bin.instances.toLocaleString("en")], ["mAP_N", percent(bin.mAP_N, 1)], ["missed", percent(bin.missed, 1)]]);
    chart.append(group);
  });
  place.append(chart, legendOf(["mAP_N", "missed"], (i) => columns[i][1]));
}

function drawDiagnosis() {
  if (!DATA.diagnosis) return;
  drawErrorProfile(byId("error-profile"));
  drawErrorCosts(byId("error-costs"));
  DATA.diagnosis.kinds.forEach((kind, i) => drawBins(byId(`bins-${i}`), kind));
}
