// mAP against the tIoU threshold, and the training curves as small multiples with one shared pointer.

/** `M x y L x y`, broken where a value is missing. */
function linePath(xs, ys) {
  let pen = "M";
  return xs.map((x, i) => {
    if (ys[i] === null) { pen = "M"; return ""; }
    const step = `${pen}${x.toFixed(1)} ${ys[i].toFixed(1)}`;
    pen = "L";
    return step;
  }).join("");
}

function drawMeanAP() {
  const place = byId("map-chart");
  if (!place) return;
  const { thresholds, mean, classes, interval } = DATA.accuracy;
  place.replaceChildren(); // so that the table beside it, not the old chart, gives the height
  const [width, beside] = room(place);
  const height = Math.max(240, Math.min(440, beside));
  const left = 30, right = width, top = 10, bottom = height - 36;
  const xs = thresholds.map(Number);
  const x = xs.length > 1 ? scale(xs[0], xs[xs.length - 1], left + 14, right - 14) : () => (left + right) / 2;
  const y = scale(0, 1, bottom, top);
  const chart = element("svg", { width, height, role: "img", "aria-label": "mAP against the tIoU threshold; the table gives the numbers" });
  for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    chart.append(element("line", { x1: left, x2: right, y1: y(tick), y2: y(tick), class: tick ? "grid" : "axis" }));
    chart.append(element("text", { x: left - 7, y: y(tick) + 4, "text-anchor": "end" }, tick.toFixed(1)));
  }
  const every = Math.ceil((xs.length * 34) / (right - left));
  xs.forEach((t, i) => {
    if (i % every === 0) chart.append(element("text", { x: x(t), y: bottom + 16, "text-anchor": "middle" }, thresholds[i]));
  });
  chart.append(element("text", { x: (left + right) / 2, y: height - 4, "text-anchor": "middle" }, "tIoU threshold"));
  if (interval) {
    const side = (bounds, order) => order.map((i) => `${x(xs[i]).toFixed(1)} ${y(bounds[i]).toFixed(1)}`);
    const there = xs.map((_, i) => i), back = [...there].reverse();
    chart.append(element("path", { d: `M${[...side(interval.low, there), ...side(interval.high, back)].join("L")}Z`, class: "interval" }));
  }
  const few = classes.length <= HUES;
  for (const { label, values } of classes) {
    const d = linePath(xs.map(x), values.map((v) => v === null ? null : y(v)));
    const color = few && label !== null ? hueOf(label) : "var(--faint)";
    chart.append(element("path", { d, fill: "none", style: `stroke:${color};stroke-width:1.5;opacity:${few ? 0.75 : 0.3}` }));
  }
  chart.append(element("path", { d: linePath(xs.map(x), mean.map((v) => v === null ? null : y(v))), fill: "none", style: "stroke:var(--ink);stroke-width:3" }));
  mean.forEach((v, i) => {
    if (v === null) return;
    chart.append(element("circle", { cx: x(xs[i]), cy: y(v), r: 4, style: "fill:var(--ink);stroke:var(--card);stroke-width:1.5" }));
  });
  const rule = element("line", { y1: top, y2: bottom, class: "rule", visibility: "hidden" });
  chart.append(rule);
  place.append(chart);
  const point = (event) => {
    const at = event.clientX - chart.getBoundingClientRect().left;
    const i = xs.reduce((best, t, j) => (Math.abs(x(t) - at) < Math.abs(x(xs[best]) - at) ? j : best), 0);
    rule.setAttribute("x1", x(xs[i]));
    rule.setAttribute("x2", x(xs[i]));
    rule.setAttribute("visibility", "visible");
    const rows = classes.map((c) => [c.name, c.values[i]]).sort((a, b) => (b[1] ?? -1) - (a[1] ?? -1)).slice(0, 12);
    const hidden = classes.length - rows.length;
    const between = interval ? [[`${interval.level} interval`, `${fixed(interval.low[i], 3)}–${fixed(interval.high[i], 3)}`]] : [];
    showTooltip(event, `tIoU ${thresholds[i]}: mAP ${fixed(mean[i], 3)}`,
      [...between, ...rows.map(([name, v]) => [name, fixed(v, 3)]), ...(hidden > 0 ? [[`and ${hidden} more`, ""]] : [])]);
  };
  chart.addEventListener("pointermove", point);
  chart.addEventListener("pointerdown", point);
  chart.addEventListener("pointerleave", () => { rule.setAttribute("visibility", "hidden"); hideTooltip(); });
}

/** The scale of one curve: from zero if the smallest value is near zero, else from the smallest value. */
function curveRange(values) {
  const known = values.filter((v) => v !== null);
  if (!known.length) return [0, 1];
  let low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b));
  if (low > 0 && low < 0.4 * high) low = 0;
  if (low === high) [low, high] = low === 0 ? [0, 1] : [Math.min(0, 2 * low), Math.max(0, 2 * high)];
  return [low, high];
}

function drawCurves() {
  const place = byId("curves");
  if (!place) return;
  const known = DATA.curves.flatMap((curve) => (curve.steps.length ? [curve.steps[0], curve.steps[curve.steps.length - 1]] : []));
  const first = known.length ? Math.min(...known) : 0, last = known.length ? Math.max(...known) : 1;
  const pointers = []; // of every chart: show the value at a step, or the last one for null
  const pointAll = (step) => pointers.forEach((show) => show(step));
  place.replaceChildren();
  for (const curve of DATA.curves) {
    const reading = element("b");
    const card = element("div", { class: "card curve" }, element("header", {}, element("span", { title: curve.name }, curve.name), reading));
    place.append(card);
    pointers.push(drawCurve(card, reading, curve, first, last, room(card)[0], pointAll));
  }
  pointAll(null);
}

function drawCurve(card, reading, { name, steps, values }, first, last, width, pointAll) {
  const [low, high] = curveRange(values);
  const marks = ticks(low, high, 4).map((tick) => [tick, short(tick)]);
  const left = 14 + 6.5 * Math.max(...marks.map(([, text]) => text.length));
  const height = 112, right = width - 6, top = 10, bottom = height - 20;
  const x = scale(first, last, left, right), y = scale(low, high, bottom, top);
  const chart = element("svg", { width, height, role: "img", "aria-label": `${name} over the training steps` });
  for (const [tick, text] of marks) {
    chart.append(element("line", { x1: left, x2: right, y1: y(tick), y2: y(tick), class: "grid" }));
    chart.append(element("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, text));
  }
  chart.append(element("text", { x: left, y: height - 4 }, short(first)));
  const note = element("text", { x: right, y: height - 4, "text-anchor": "end" });
  chart.append(note);
  const ys = values.map((v) => (v === null ? null : y(v)));
  chart.append(element("path", { d: linePath(steps.map(x), ys), fill: "none", style: "stroke:var(--accent);stroke-width:1.5;stroke-linejoin:round" }));
  if (steps.length <= 40) {
    ys.forEach((v, i) => { if (v !== null) chart.append(element("circle", { cx: x(steps[i]), cy: v, r: 2.5, style: "fill:var(--accent)" })); });
  }
  const rule = element("line", { y1: top, y2: bottom, class: "rule", visibility: "hidden" });
  const dot = element("circle", { r: 4, style: "fill:var(--accent);stroke:var(--card);stroke-width:1.5", visibility: "hidden" });
  chart.append(rule, dot);
  card.append(chart);
  const stepAt = (event) => first + ((event.clientX - chart.getBoundingClientRect().left - left) / (right - left)) * (last - first);
  chart.addEventListener("pointermove", (event) => pointAll(stepAt(event)));
  chart.addEventListener("pointerdown", (event) => pointAll(stepAt(event)));
  chart.addEventListener("pointerleave", () => pointAll(null));

  return (step) => {
    const pointing = step !== null && steps.length > 0;
    let i = steps.length - 1;
    if (pointing) i = steps.reduce((best, s, j) => (Math.abs(s - step) < Math.abs(steps[best] - step) ? j : best), 0);
    reading.textContent = i < 0 ? "–" : short(values[i]);
    note.textContent = pointing ? `at step ${short(steps[i])}` : `step ${short(last)}`;
    for (const mark of [rule, dot]) mark.setAttribute("visibility", pointing && ys[i] !== null ? "visible" : "hidden");
    if (!pointing || ys[i] === null) return;
    rule.setAttribute("x1", x(steps[i]));
    rule.setAttribute("x2", x(steps[i]));
    dot.setAttribute("cx", x(steps[i]));
    dot.setAttribute("cy", ys[i]);
  };
}
