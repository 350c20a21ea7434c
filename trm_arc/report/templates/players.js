// --- refinement traces

class Player {
  constructor(trace) {
    this.name = trace.name;
    this.test = data.tests[trace.test];
    this.frames = trace.frames.map(([step, cycle, last, halting, grid]) => ({ step, cycle, last, halting, grid }));
    this.several = this.frames.some((frame) => !frame.last);
    this.at = this.frames.length - 1;
    this.timer = null;
    const title = make("h3", {}, make("a", { href: `#test-${trace.test}` }, trace.name), `: ${trace.outcome}`);
    this.play = make("button", { type: "button" });
    this.play.addEventListener("click", () => this.toggle());
    this.range = make("input", { type: "range", min: "0", max: String(this.at), "aria-label": `Frame of ${this.name}` });
    this.range.addEventListener("input", () => { this.stop(); this.show(Number(this.range.value)); });
    this.words = make("span", {});
    this.cycles = make("input", { type: "checkbox", "aria-label": `every cycle of ${this.name}` });
    this.cycles.addEventListener("change", () => this.redraw());
    this.picture = make("div", { class: "grids" });
    this.strip = make("ol", { class: "strip", "aria-label": `Answers to ${this.name}, frame by frame` });
    const controls = this.frames.length > 1 ? [this.play, this.range] : [];
    if (this.several) controls.push(make("label", {}, this.cycles, " every cycle"));
    this.element = make("article", { class: "player" }, title, make("div", { class: "controls" }, ...controls, this.words), this.picture, this.strip);
    this.stop();
    this.drawn = false;
  }

  describe(frame) {
    const grid = decode(frame.grid), truth = this.test.truth === null ? null : decode(this.test.truth);
    const cycle = this.several ? `, cycle ${frame.cycle}` : "";
    return `step ${frame.step}${cycle}: ${describeGrid(grid, truth)}, halting ${frame.halting.toFixed(3)}`;
  }

  figure(frame, room, title, brief = false) {
    const question = data.style === "symbols" ? this.test.input : null;
    return figure(title, frame.grid, { truth: this.test.truth, room, question, brief });
  }

  show(at) {
    this.at = at;
    const frame = this.frames[at];
    this.range.value = String(at);
    const text = this.describe(frame);
    this.range.setAttribute("aria-valuetext", text);
    this.words.textContent = text;
    const question = data.style === "symbols" ? this.test.input : null;
    const truth = this.test.truth === null ? [] : [figure("truth", this.test.truth, { room: 200, question })];
    const input = figure(data.attempts === 1 ? "question" : "test input", this.test.input, { room: 200, question });
    const curve = this.frames.length > 1 ? [this.halting()] : [];
    this.picture.replaceChildren(input, this.figure(frame, 200, `step ${frame.step}`), ...truth, ...curve);
    const items = Array.from(this.strip.children);
    const now = items.find((item) => Number(item.dataset.at) >= at); // a cycle that is not shown belongs to its step
    for (const item of items) item.classList.toggle("now", item === now);
  }

  halting() {
    const width = 220, height = 90, count = this.frames.length, svg = document.createElementNS(SVG, "svg");
    const x = (at) => 8 + ((width - 16) * at) / Math.max(1, count - 1), y = (p) => 8 + (height - 16) * (1 - p);
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "halting probability after each frame, from 0 (bottom) to 1 (top)" })) svg.setAttribute(name, value);
    shape(svg, "path", { d: `M8 ${y(0)}h${width - 16}M8 ${y(1)}h${width - 16}M8 ${y(0.5)}h${width - 16}`, stroke: "var(--line)", fill: "none" });
    shape(svg, "polyline", { points: this.frames.map((frame, at) => `${x(at)},${y(frame.halting)}`).join(" "), fill: "none", stroke: "var(--first)", "stroke-width": 2 });
    shape(svg, "circle", { cx: x(this.at), cy: y(this.frames[this.at].halting), r: 5, fill: "var(--ink)" });
    return make("figure", {}, make("figcaption", {}, make("strong", {}, "halting probability"), " from 0 to 1"), svg);
  }

  redraw() {
    if (!this.drawn) return;
    this.strip.replaceChildren();
    this.frames.forEach((frame, at) => {
      if (!frame.last && !this.cycles.checked) return;
      const name = this.cycles.checked ? `${frame.step}.${frame.cycle}` : String(frame.step);
      const meter = make("div", { class: "meter", "aria-hidden": "true" }, make("i", { style: `width:${100 * frame.halting}%` }));
      const item = make("li", { "data-at": at }, this.figure(frame, 72, name, true), meter);
      item.addEventListener("click", () => { this.stop(); this.show(at); });
      this.strip.append(item);
    });
    this.show(this.at);
  }

  toggle() {
    if (this.timer !== null) { this.stop(); return; }
    const order = this.frames.map((frame, at) => at).filter((at) => this.frames[at].last || this.cycles.checked);
    let next = 0;
    this.say("Stop");
    const tick = () => {
      this.show(order[next++]);
      if (next === order.length) this.stop();
    };
    this.timer = setInterval(tick, 450);
    tick();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.say("Play");
  }

  say(word) {
    this.play.textContent = word;
    this.play.setAttribute("aria-label", `${word} ${this.name}`);
  }

  begin() {
    this.drawn = true;
    this.redraw();
  }
}

const players = (data.traces || []).map((trace) => new Player(trace));
// A player is drawn when it comes into sight: fifty of them would keep the page from being seen.
const sight = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
  sight.unobserve(entry.target);
  players.find((player) => player.element === entry.target).begin();
}), { rootMargin: "300px" });
for (const player of players) {
  document.getElementById("players").append(player.element);
  sight.observe(player.element);
}

// --- wiring

if (table) {
  table.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-number]");
    if (row && !getSelection().toString()) toggle(row);
  });
  table.tHead.addEventListener("click", (event) => event.target.dataset.sort && sortBy(event.target));
  const form = document.getElementById("filters");
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  document.getElementById("drawing").addEventListener("change", redraw);
  for (const button of document.querySelectorAll("[data-filter]")) {
    button.addEventListener("click", () => {
      form.reset();
      const select = document.getElementById(`filter-${button.dataset.filter}`);
      select.value = button.dataset.value;
      filter();
      document.getElementById("tests").scrollIntoView();
      select.focus({ preventScroll: true });
    });
  }
  // A click, and not the change of the address alone: the same link may be followed twice.
  addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#test-']");
    if (link) openAt(link.getAttribute("href"));
  });
  addEventListener("hashchange", () => openAt(location.hash));
  filter(); // a browser may bring back what was filtered before a reload
  openAt(location.hash);
}
function chooseAxis() {
  const chosen = document.querySelector("input[name=axis]:checked")?.value;
  for (const curve of document.querySelectorAll("[data-axis]")) curve.hidden = curve.dataset.axis !== chosen;
}
for (const radio of document.querySelectorAll("input[name=axis]")) radio.addEventListener("change", chooseAxis);
const theme = document.getElementById("theme");
function chooseTheme() {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
}
theme.addEventListener("change", chooseTheme);
addEventListener("pageshow", () => { // and with it what a browser brings back after these lines have run
  chooseAxis();
  chooseTheme();
  if (table) filter();
});
