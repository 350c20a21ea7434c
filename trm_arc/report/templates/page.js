"use strict";
// Everything that comes from data reaches the page as text or as attributes of elements made here, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = data.colours;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function shape(parent, tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

const decode = (text) => (text ? text.split("|").map((row) => Array.from(row, (c) => (c === "?" ? 255 : parseInt(c, 36)))) : []);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// --- grids

function differing(grid, truth) {
  if (!truth || grid.length !== truth.length || (grid[0] || []).length !== (truth[0] || []).length) return null;
  const cells = [];
  grid.forEach((row, r) => row.forEach((value, c) => value !== truth[r][c] && cells.push([r, c])));
  return cells;
}

function describeGrid(grid, truth) {
  if (!grid.length) return "no grid";
  const size = `${grid.length} × ${grid[0].length}`;
  if (!truth) return size;
  const wrong = differing(grid, truth);
  if (wrong === null) return `${size}, wrong size`;
  return wrong.length ? `${size}, ${plural(wrong.length, "wrong cell")}` : `${size}, right`;
}

function cellSize(grid, room) {
  return Math.max(3, Math.min(26, Math.floor(room / Math.max(grid.length, grid[0].length, 6))));
}

function drawGrid(grid, label, options) {
  const rows = grid.length, columns = grid[0].length, size = cellSize(grid, options.room || 210);
  const svg = document.createElementNS(SVG, "svg");
  const place = { viewBox: `-0.05 -0.05 ${columns + 0.1} ${rows + 0.1}`, width: columns * size + 2, height: rows * size + 2 };
  for (const [name, value] of Object.entries({ ...place, role: "img", "aria-label": label })) svg.setAttribute(name, value);
  ({ arc: drawArc, sudoku: drawSudoku, maze: drawMaze })[data.kind](svg, grid, options, size);
  const half = Math.max(0.38, 5 / size); // small cells get a mark that is larger than they are
  for (const [r, c] of options.wrong || []) {
    const box = { x: c + 0.5 - half, y: r + 0.5 - half, width: 2 * half, height: 2 * half, fill: "none" };
    shape(svg, "rect", { ...box, stroke: "#fff", "stroke-width": 3.2 / size });
    shape(svg, "rect", { ...box, stroke: "#000", "stroke-width": 1.4 / size });
  }
  return svg;
}

function cellPaths(grid) {
  const paths = new Map();
  grid.forEach((row, r) => {
    for (let c = 0; c < row.length; ) {
      let end = c + 1;
      while (end < row.length && row[end] === row[c]) end++;
      paths.set(row[c], (paths.get(row[c]) || "") + `M${c} ${r}h${end - c}v1h${c - end}z`);
      c = end;
    }
  });
  return paths;
}

function drawLines(svg, rows, columns, colour, width) {
  let path = "";
  for (let r = 0; r <= rows; r++) path += `M0 ${r}h${columns}`;
  for (let c = 0; c <= columns; c++) path += `M${c} 0v${rows}`;
  shape(svg, "path", { d: path, stroke: colour, "stroke-width": width, fill: "none" });
}

function drawText(svg, r, c, text, attributes) {
  shape(svg, "text", { x: c + 0.5, y: r + 0.7, "font-size": 0.6, "text-anchor": "middle", ...attributes }, text);
}

function drawArc(svg, grid, options, size) {
  for (const [value, path] of cellPaths(grid)) shape(svg, "path", { d: path, fill: COLOURS[value] || "#fff" });
  drawLines(svg, grid.length, grid[0].length, "#6b7280", Math.min(1, size / 14) / size);
  if (document.getElementById("drawing")?.value !== "digits") return;
  const dark = new Set([0, 1, 6, 9]);
  grid.forEach((row, r) => row.forEach((v, c) => drawText(svg, r, c, v, { fill: dark.has(v) ? "#fff" : "#000" })));
}

function drawSudoku(svg, grid, options) {
  const side = grid.length, [boxRows, boxColumns] = data.box;
  shape(svg, "rect", { x: 0, y: 0, width: side, height: side, fill: "var(--floor)" });
  drawLines(svg, side, side, "var(--line)", 0.03);
  let path = "";
  for (let r = 0; r <= side; r += boxRows) path += `M0 ${r}h${side}`;
  for (let c = 0; c <= side; c += boxColumns) path += `M${c} 0v${side}`;
  shape(svg, "path", { d: path, stroke: "var(--ink)", "stroke-width": 0.06, fill: "none" });
  const wrong = new Set((options.wrong || []).map(([r, c]) => r * side + c));
  grid.forEach((row, r) => row.forEach((value, c) => {
    if (!value) return;
    const clue = options.question && options.question[r][c] > 0, odd = wrong.has(r * side + c);
    if (odd) shape(svg, "rect", { x: c, y: r, width: 1, height: 1, fill: "#ffd7d5" });
    const look = odd ? { fill: "#000" } : { fill: clue || !options.question ? "var(--ink)" : "var(--path)" };
    drawText(svg, r, c, data.characters[value] ?? "?", { ...look, "font-weight": clue ? 700 : 400 });
  }));
}

function drawMaze(svg, grid) {
  const fills = ["var(--wall)", "var(--floor)", "var(--floor)", "var(--floor)", "var(--floor)"];
  shape(svg, "rect", { x: 0, y: 0, width: grid[0].length, height: grid.length, fill: "var(--floor)", stroke: "var(--line)", "stroke-width": 0.05 });
  for (const [value, path] of cellPaths(grid)) shape(svg, "path", { d: path, fill: fills[value] || "#f0f" });
  grid.forEach((row, r) => row.forEach((value, c) => {
    if (value === 4) shape(svg, "circle", { cx: c + 0.5, cy: r + 0.5, r: 0.28, fill: "var(--path)" });
    if (value === 2 || value === 3) drawText(svg, r, c, value === 2 ? "S" : "G", { fill: "var(--ink)", "font-size": 0.9, y: r + 0.82, "font-weight": 700 });
  }));
}

function asText(grid) {
  const show = (value) => (data.characters ? data.characters[value] ?? "?" : value === 255 ? "?" : String(value));
  return grid.map((row) => row.map(show).join(data.kind === "maze" ? "" : " ")).join("\n");
}

function figure(title, text, options = {}) {
  const grid = decode(text), truth = options.truth ? decode(options.truth) : null;
  const told = describeGrid(grid, truth), wrong = truth ? differing(grid, truth) : null;
  const caption = make("figcaption", {}, make("strong", {}, title), ` ${options.note ? options.note + ", " : ""}${told}`);
  if (!grid.length) return make("figure", {}, caption);
  const textual = document.getElementById("drawing")?.value === "text";
  const drawn = textual
    ? make("pre", { class: "grid" }, asText(grid))
    : drawGrid(grid, `${options.label || title}, ${told}`, { room: options.room, wrong, question: options.question && decode(options.question) });
  return make("figure", {}, caption, drawn);
}

// --- one test

function candidateList(test) {
  const most = Math.max(1, ...test.candidates.map((candidate) => candidate.votes));
  const views = test.views.reduce((sum, count) => sum + count, 0);
  const question = data.kind === "sudoku" ? test.input : null;
  const items = test.candidates.map((candidate, rank) => make("li", candidate.right ? { class: "solved" } : {},
    figure(`rank ${rank + 1}`, candidate.grid, { truth: test.truth, room: 120, question }),
    make("div", { class: "meter wide-meter", "aria-hidden": "true" }, make("i", { style: `width:${(100 * candidate.votes) / most}%` })),
    make("p", {}, `${candidate.votes} of ${views} views, halting ${candidate.halting.toFixed(3)}`),
    data.orientations.length ? make("div", { class: "symmetries" }, "by symmetry", waysOf(candidate, test)) : null));
  return make("ol", { class: "candidates", "aria-label": `Candidates of ${test.name}` }, ...items);
}

function waysOf(candidate, test) {
  const told = data.orientations.map((name, at) => `${name} ${candidate.orientations[at]} of ${test.views[at]}`);
  const bars = make("span", { class: "ways", role: "img", "aria-label": `views by symmetry: ${told.join(", ")}`, title: told.join("\n") });
  data.orientations.forEach((_, at) => {
    const share = test.views[at] ? candidate.orientations[at] / test.views[at] : 0;
    bars.append(make("i", { style: `height:${Math.round(22 * share)}px` }));
  });
  return bars;
}

function drawTest(number) {
  const test = data.tests[number], parts = [];
  const heading = (text) => make("h3", {}, text);
  parts.push(make("p", {}, make("strong", {}, test.outcome), test.missed ? `: ${test.missed}` : ""));
  const puzzle = data.kind !== "arc", question = data.kind === "sudoku" ? test.input : null;
  const answers = [figure(puzzle ? "question" : "test input", test.input, { question })];
  const attempts = test.candidates.slice(0, puzzle ? 1 : 2).map((candidate) => [candidate.grid, plural(candidate.votes, "vote")]);
  for (const guess of test.guesses) attempts.push([guess, "a guess"]);
  attempts.forEach(([grid, note], at) => {
    answers.push(figure(puzzle ? "answer" : `attempt ${at + 1}`, grid, { truth: test.truth, note, question }));
  });
  if (!attempts.length) answers.push(figure("answer", "", {}));
  if (test.truth !== null) answers.push(figure("truth", test.truth, { question }));
  parts.push(heading("Answer"), make("div", { class: "grids" }, ...answers));
  if (test.task !== null) {
    const pairs = data.demonstrations[test.task].map(([input, output], at) => make("div", { class: "pair" },
      figure(`demonstration ${at + 1}, input`, input, { room: 150 }), make("span", { "aria-hidden": "true" }, "→"), figure("output", output, { room: 150 })));
    parts.push(heading("Demonstrations"), make("div", { class: "grids" }, ...pairs));
  }
  if (test.candidates.length) {
    const more = test.pool > test.candidates.length ? `the best ${test.candidates.length} of ${test.pool} distinct answers` : `all ${plural(test.pool, "distinct answer")}`;
    parts.push(heading(`Candidates: ${more}`), candidateList(test));
  }
  if (test.beyond) parts.push(make("p", {}, `The right answer stands at rank ${test.beyond.rank} with ${plural(test.beyond.votes, "vote")}, halting ${test.beyond.halting.toFixed(3)}.`));
  return parts;
}

// --- the table: open, sort, filter

const table = document.getElementById("table");
const rows = table ? Array.from(table.tBodies[0].rows) : [];
const details = new Map();

function toggle(row, open) {
  const button = row.querySelector(".open"), number = Number(row.dataset.number);
  const now = open ?? button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(now));
  if (now && !details.has(number)) {
    const cell = make("td", { colspan: row.cells.length });
    const detail = make("tr", { class: "detail", id: `detail-${number}` }, cell);
    cell.append(...drawTest(number));
    row.after(detail);
    details.set(number, detail);
    button.setAttribute("aria-controls", detail.id);
  }
  if (details.has(number)) details.get(number).hidden = !now;
}

function redraw() {
  for (const [number, detail] of details) detail.cells[0].replaceChildren(...drawTest(number));
  for (const player of players) player.redraw();
}

function filter() {
  const name = document.getElementById("filter-name").value.trim().toLowerCase();
  const outcomes = new Set(Array.from(document.querySelectorAll("input[name=outcome]:checked"), (box) => box.value));
  const selects = Array.from(document.querySelectorAll("select[id^=filter-]"), (select) => [select.id.slice(7), select.value]).filter(([, value]) => value);
  let count = 0;
  for (const row of rows) {
    const fits = outcomes.has(row.dataset.outcome) && row.dataset.name.toLowerCase().includes(name)
      && selects.every(([key, value]) => row.getAttribute(`data-${key}`) === value);
    row.hidden = !fits;
    count += fits;
    const detail = details.get(Number(row.dataset.number));
    if (detail) detail.hidden = !fits || row.querySelector(".open").getAttribute("aria-expanded") !== "true";
  }
  document.getElementById("count").textContent = `${count} of ${rows.length} tests shown`;
}

function sortBy(button) {
  const header = button.closest("th"), key = button.dataset.sort;
  const down = header.getAttribute("aria-sort") === "ascending" || (header.getAttribute("aria-sort") === "none" && ["votes", "halting"].includes(key));
  for (const other of table.tHead.querySelectorAll("th")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => row.getAttribute(`data-${key}`), sign = down ? -1 : 1;
  const order = key === "name" ? new Intl.Collator("en", { numeric: true }).compare : (a, b) => Number(a) - Number(b);
  rows.sort((a, b) => sign * order(value(a), value(b)) || Number(a.dataset.number) - Number(b.dataset.number));
  const body = document.createDocumentFragment();
  for (const row of rows) {
    body.append(row);
    const detail = details.get(Number(row.dataset.number));
    if (detail) body.append(detail);
  }
  table.tBodies[0].append(body);
}

function openFromAddress() {
  const match = /^#test-(\d+)$/.exec(location.hash);
  const row = match && document.getElementById(`test-${match[1]}`);
  if (!row) return;
  if (row.hidden) { document.getElementById("filters").reset(); filter(); }
  toggle(row, true);
  row.querySelector(".open").focus();
}

// --- how an answer forms

class Player {
  constructor(told) {
    this.told = told;
    this.test = data.tests[told.test];
    this.frames = told.frames.map(([step, cycle, last, halting, grid]) => ({ step, cycle, last, halting, grid }));
    this.at = this.frames.length - 1;
    this.timer = null;
    this.element = make("article", { class: "player" });
    const title = make("h3", {}, make("a", { href: `#test-${told.test}` }, told.name), `: ${told.outcome}`);
    this.picture = make("div", { class: "grids" });
    this.play = make("button", { type: "button" }, "Play");
    this.play.addEventListener("click", () => this.toggle());
    this.range = make("input", { type: "range", min: "0", max: String(this.frames.length - 1), value: String(this.at), "aria-label": `Moment of ${told.name}` });
    this.range.addEventListener("input", () => { this.stop(); this.show(Number(this.range.value)); });
    this.words = make("span", {});
    this.cycles = make("input", { type: "checkbox" });
    this.cycles.addEventListener("change", () => this.redraw());
    const inside = this.frames.some((frame) => !frame.last) ? make("label", {}, this.cycles, " every cycle") : null;
    this.strip = make("ol", { class: "strip", "aria-label": `Answers to ${told.name}, moment by moment` });
    this.curve = make("div", {});
    this.element.append(title, make("div", { class: "controls" }, this.play, this.range, inside, this.words), this.picture, this.strip);
    this.redraw();
  }

  describe(frame) {
    const grid = decode(frame.grid), truth = this.test.truth === null ? null : decode(this.test.truth);
    const cycle = this.frames.some((one) => !one.last) ? `, cycle ${frame.cycle}` : "";
    return `step ${frame.step}${cycle}: ${describeGrid(grid, truth)}, halting ${frame.halting.toFixed(3)}`;
  }

  figure(frame, room, title) {
    const question = data.kind === "sudoku" ? this.test.input : null;
    return figure(title, frame.grid, { truth: this.test.truth, room, question });
  }

  show(at) {
    this.at = at;
    const frame = this.frames[at];
    this.range.value = String(at);
    this.range.setAttribute("aria-valuetext", this.describe(frame));
    this.words.textContent = this.describe(frame);
    const question = data.kind === "sudoku" ? this.test.input : null;
    const truth = this.test.truth === null ? [] : [figure("truth", this.test.truth, { room: 200, question })];
    this.picture.replaceChildren(figure(data.kind === "arc" ? "test input" : "question", this.test.input, { room: 200, question }), this.figure(frame, 200, `step ${frame.step}`), ...truth, this.halting());
    for (const item of this.strip.children) item.classList.toggle("now", Number(item.dataset.at) === at);
  }

  halting() {
    const width = 220, height = 90, count = this.frames.length, svg = document.createElementNS(SVG, "svg");
    const x = (at) => 8 + ((width - 16) * at) / Math.max(1, count - 1), y = (p) => 8 + (height - 16) * (1 - p);
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": "halting probability along the way, from 0 below to 1 above" })) svg.setAttribute(name, value);
    shape(svg, "path", { d: `M8 ${y(0)}h${width - 16}M8 ${y(1)}h${width - 16}M8 ${y(0.5)}h${width - 16}`, stroke: "var(--line)", fill: "none" });
    shape(svg, "polyline", { points: this.frames.map((frame, at) => `${x(at)},${y(frame.halting)}`).join(" "), fill: "none", stroke: "var(--first)", "stroke-width": 2 });
    shape(svg, "circle", { cx: x(this.at), cy: y(this.frames[this.at].halting), r: 5, fill: "var(--ink)" });
    return make("figure", {}, make("figcaption", {}, make("strong", {}, "halting probability"), " from 0 to 1"), svg);
  }

  redraw() {
    this.strip.replaceChildren();
    this.frames.forEach((frame, at) => {
      if (!frame.last && !this.cycles.checked) return;
      const name = this.cycles.checked ? `${frame.step}.${frame.cycle}` : String(frame.step);
      const meter = make("div", { class: "meter", "aria-hidden": "true" }, make("i", { style: `width:${100 * frame.halting}%` }));
      const item = make("li", { "data-at": at }, this.figure(frame, 72, name), meter);
      item.addEventListener("click", () => { this.stop(); this.show(at); });
      this.strip.append(item);
    });
    this.show(this.at);
  }

  toggle() {
    if (this.timer !== null) { this.stop(); return; }
    const order = this.frames.map((frame, at) => at).filter((at) => this.frames[at].last || this.cycles.checked);
    let next = 0;
    this.play.textContent = "Stop";
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
    this.play.textContent = "Play";
  }
}

const players = (data.forming || []).map((told) => new Player(told));
document.getElementById("players")?.append(...players.map((player) => player.element));

// --- wiring

if (table) {
  table.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-number]");
    if (row && !getSelection().toString()) toggle(row);
  });
  table.tHead.addEventListener("click", (event) => event.target.dataset.sort && sortBy(event.target));
  const form = document.getElementById("filters");
  form.addEventListener("input", (event) => (event.target.id === "drawing" ? redraw() : filter()));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { filter(); redraw(); }));
  for (const button of document.querySelectorAll("[data-filter]")) {
    button.addEventListener("click", () => {
      form.reset();
      document.getElementById(`filter-${button.dataset.filter}`).value = button.dataset.value;
      filter();
      document.getElementById("tests").scrollIntoView();
      document.getElementById("count").closest("form").querySelector("select, input").focus({ preventScroll: true });
    });
  }
  addEventListener("hashchange", openFromAddress);
  openFromAddress();
  filter(); // a browser may bring back what was filtered before a reload
}
for (const radio of document.querySelectorAll("input[name=axis]")) {
  radio.addEventListener("change", () => {
    for (const curve of document.querySelectorAll("[data-axis]")) curve.hidden = curve.dataset.axis !== radio.value;
  });
}
const theme = document.getElementById("theme");
theme.addEventListener("change", () => {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
});
