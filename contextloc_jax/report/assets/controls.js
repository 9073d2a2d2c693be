// The page as a whole: score threshold, classes, order, search and pages; starts everything.

const VIDEOS_A_PAGE = 25;
const RANKED = DATA.videos.flatMap((video) => video.detections.map((d) => d.score)).sort((a, b) => b - a);

// The slider counts detections, so it works for scores of any scale; half of its way is for the best detections.
const POWER = 3;
const countAt = (position) => Math.max(1, Math.round(RANKED.length * (1 - position / 1000) ** POWER));
const positionOf = (wanted) => Math.round(1000 * (1 - (wanted / RANKED.length) ** (1 / POWER)));

function setThreshold(wanted) {
  state.threshold = RANKED.length ? RANKED[Math.min(wanted, RANKED.length) - 1] : 0;
  byId("threshold-value").textContent = RANKED.length ? short(state.threshold) : "–";
  byId("threshold").setAttribute("aria-valuetext", `score at least ${short(state.threshold)}`);
}

const ORDERS = {
  name: ["Name", (a, b) => a.place - b.place],
  worst: ["Lowest AP first", (a, b) => (a.ap ?? 2) - (b.ap ?? 2) || a.place - b.place],
  best: ["Highest AP first", (a, b) => (b.ap ?? -1) - (a.ap ?? -1) || a.place - b.place],
};

function render() {
  const wanted = state.find.trim().toLowerCase();
  const videos = DATA.videos.filter((video) => {
    if (!video.name.toLowerCase().includes(wanted)) return false;
    if (!state.classes.size) return true;
    const { detections, truth } = look(video);
    return detections.length + truth.length > 0;
  }).sort(ORDERS[state.order][1]);
  const pages = Math.max(1, Math.ceil(videos.length / VIDEOS_A_PAGE));
  state.page = Math.min(state.page, pages - 1);
  const shown = videos.slice(state.page * VIDEOS_A_PAGE, (state.page + 1) * VIDEOS_A_PAGE).map(videoCard);
  byId("videos").replaceChildren(...(shown.length ? shown : [element("p", { class: "empty" }, "No video fits these choices.")]));
  const width = shown.length ? shown[0].querySelector(".plot").clientWidth : 0; // measured once: every card is as wide
  for (const card of shown) card.querySelector(".plot").append(drawTimeline(card.video, card.seen, width));
  summarize(videos);
  drawPages(videos.length, pages);
}

function summarize(videos) {
  const all = videos.map(look);
  const total = (pick) => all.reduce((sum, seen) => sum + pick(seen), 0);
  const detections = total((s) => s.detections.length), correct = total((s) => s.correct.length);
  const wrong = total((s) => s.wrong.length);
  const judged = videos.filter((v) => v.truth !== null).length > 0;
  const parts = [element("b", {}, count(detections, "detection")), ` in ${count(videos.length, "video")}`];
  if (judged) {
    const instances = total((s) => s.truth.length), found = total((s) => s.found.size);
    parts.push(": ", element("b", {}, `${correct.toLocaleString("en")} correct`), `, ${wrong.toLocaleString("en")} false; `);
    parts.push(element("b", {}, `${found.toLocaleString("en")} of ${count(instances, "instance")} found`));
    parts.push(` (precision ${correct + wrong ? fixed(correct / (correct + wrong), 2) : "–"}, recall ${instances ? fixed(found / instances, 2) : "–"} at tIoU ${DATA.tiou})`);
  }
  byId("summary").replaceChildren(...parts);
}

function drawPages(videos, pages) {
  const turn = (by, name) => {
    const button = element("button", { type: "button" }, name);
    button.disabled = state.page + by < 0 || state.page + by >= pages;
    button.addEventListener("click", () => {
      state.page += by;
      render();
      byId("timelines-heading").scrollIntoView();
    });
    return button;
  };
  const first = state.page * VIDEOS_A_PAGE;
  const place = `${first + 1}–${Math.min(first + VIDEOS_A_PAGE, videos)} of ${count(videos, "video")}`;
  byId("pages").replaceChildren(...(pages > 1 ? [turn(-1, "‹ Previous"), place, turn(1, "Next ›")] : []));
}

function drawLegend() {
  const instances = DATA.labels.map(() => 0), detections = DATA.labels.map(() => 0);
  for (const video of DATA.videos) {
    (video.truth || []).forEach((item) => { instances[item.label] += 1; });
    video.detections.forEach((item) => { detections[item.label] += 1; });
  }
  const all = element("button", { type: "button" }, "All classes");
  const buttons = DATA.labels.map((name, label) => {
    const number = DATA.judged ? instances[label] : detections[label];
    const title = DATA.judged ? count(number, "annotated instance") : count(number, "detection");
    return element("button", { type: "button", title }, swatch(label), name, element("small", {}, String(number)));
  });
  const mark = () => {
    byId("legend").classList.toggle("filtered", state.classes.size > 0);
    buttons.forEach((button, label) => button.setAttribute("aria-pressed", state.classes.has(label)));
    all.setAttribute("aria-pressed", state.classes.size === 0);
    state.page = 0;
    render();
  };
  buttons.forEach((button, label) => button.addEventListener("click", () => {
    if (!state.classes.delete(label)) state.classes.add(label);
    mark();
  }));
  all.addEventListener("click", () => { state.classes.clear(); mark(); });
  byId("legend").append(all, ...buttons.filter((_, label) => instances[label] + detections[label] > 0));
  mark();
}

/** What solid, dashed and faint bars mean, drawn with the function that draws the bars. */
function drawKey() {
  const top = DATA.score_range[1];
  const sample = (kind, verdict, score, text) => {
    const chart = element("svg", { width: 30, height: 12 });
    drawBar(chart, { start: 0, end: 30, item: { label: 0, verdict, score } }, 0, 12, kind);
    return element("span", {}, chart, text);
  };
  const low = DATA.score_range[0] + 0.04 * (top - DATA.score_range[0]);
  const scores = [sample("detection", null, low, "low score"), sample("detection", null, top, "high score")];
  const judged = [
    sample("found", null, top, "ground truth, found"), sample("missed", null, top, "ground truth, missed"),
    sample("detection", CORRECT, top, "correct detection"), sample("detection", CORRECT + 1, top, "false detection"),
  ];
  byId("key").append(...(DATA.judged ? judged : []), ...scores);
}

function start() {
  drawTextures();
  document.querySelectorAll("[data-label]").forEach((cell) => cell.prepend(swatch(Number(cell.dataset.label))));
  let waiting = false;
  const renderSoon = () => { // at most once per frame, even if the slider moves fast
    if (!waiting) setTimeout(() => { waiting = false; render(); }, 16);
    waiting = true;
  };
  const listen = (id, event, act) => byId(id).addEventListener(event, (e) => { act(e.target.value); renderSoon(); });
  for (const [key, [name]] of Object.entries(ORDERS)) byId("order").append(element("option", { value: key }, name));
  byId("order").parentElement.hidden = !DATA.judged;
  byId("threshold").disabled = !RANKED.length;
  byId("threshold").value = RANKED.length ? positionOf(Math.min(DATA.default_count, RANKED.length)) : 0;
  setThreshold(DATA.default_count);
  listen("threshold", "input", (value) => setThreshold(countAt(Number(value))));
  listen("order", "change", (value) => { state.order = value; state.page = 0; });
  listen("find", "input", (value) => { state.find = value; state.page = 0; });
  byId("videos").addEventListener("pointermove", describe);
  byId("videos").addEventListener("pointerdown", describe);
  byId("videos").addEventListener("pointerleave", hideTooltip);
  addEventListener("scroll", hideTooltip, { passive: true });
  drawKey();
  drawLegend();
  drawMeanAP();
  drawDiagnosis();
  drawCurves();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's address bar changes the height only
    width = innerWidth;
    setTimeout(() => { render(); drawMeanAP(); drawDiagnosis(); drawCurves(); }, 16);
  });
}
start();
