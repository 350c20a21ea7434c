// --- one test

function candidateList(test) {
  const most = Math.max(1, ...test.candidates.map((candidate) => candidate.votes));
  const views = test.views.reduce((sum, count) => sum + count, 0);
  const question = data.style === "symbols" ? test.input : null;
  const items = test.candidates.map((candidate, rank) => make("li", candidate.right ? { class: "solved" } : {},
    figure(`rank ${rank + 1}`, candidate.grid, { truth: test.truth, room: 150, question }),
    make("div", { class: "meter wide-meter", "aria-hidden": "true" }, make("i", { style: `width:${(100 * candidate.votes) / most}%` })),
    make("p", {}, `${candidate.votes} of ${views} views, halting ${candidate.halting.toFixed(3)}`),
    data.orientations.length ? make("div", { class: "symmetries" }, "by symmetry", waysOf(candidate, test)) : null));
  return make("ol", { class: "candidates", "aria-label": `Candidates of ${test.name}` }, ...items);
}

function waysOf(candidate, test) {
  const counts = data.orientations.map((name, at) => `${name} ${candidate.orientations[at]} of ${test.views[at]}`);
  const bars = make("span", { class: "ways", role: "img", "aria-label": `views by symmetry: ${counts.join(", ")}`, title: counts.join("\n") });
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
  const puzzle = data.attempts === 1, question = data.style === "symbols" ? test.input : null;
  const room = wideRoom(test.input, test.truth, ...test.candidates.slice(0, 2).map((candidate) => candidate.grid));
  const answers = [figure(puzzle ? "question" : "test input", test.input, { question, room })];
  const attempts = test.candidates.slice(0, puzzle ? 1 : 2).map((candidate) => [candidate.grid, plural(candidate.votes, "vote")]);
  for (const guess of test.guesses) attempts.push([guess, "a guess"]);
  attempts.forEach(([grid, note], at) => {
    answers.push(figure(puzzle ? "answer" : `attempt ${at + 1}`, grid, { truth: test.truth, note, question, room }));
  });
  if (!attempts.length) answers.push(figure("answer", "", {}));
  if (test.truth !== null) answers.push(figure("truth", test.truth, { question, room }));
  parts.push(heading("Answer"), make("div", { class: "grids" }, ...answers));
  if (test.task !== null) {
    const pairs = data.demonstrations[test.task].map(([input, output], at) => make("div", { class: "pair" },
      figure(`demonstration ${at + 1}, input`, input, { room: 150 }), make("span", { "aria-hidden": "true" }, "→"), figure("output", output, { room: 150 })));
    parts.push(heading("Demonstrations"), make("div", { class: "grids" }, ...pairs));
  }
  if (test.candidates.length) {
    const more = test.pool > test.candidates.length ? `the best ${test.candidates.length} of ${test.pool} distinct answers` : plural(test.pool, "distinct answer");
    parts.push(heading(`Candidates: ${more}`), candidateList(test));
  }
  if (test.beyond) parts.push(make("p", {}, `The right answer is at rank ${test.beyond.rank} with ${plural(test.beyond.votes, "vote")}, halting ${test.beyond.halting.toFixed(3)}.`));
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
    const detail = make("tr", { class: "detail", id: `detail-${number}` }, make("td", { colspan: row.cells.length }, make("div", {})));
    row.after(detail);
    details.set(number, detail);
    button.setAttribute("aria-controls", detail.id);
    fill(number);
  }
  if (details.has(number)) details.get(number).hidden = !now;
}

function fill(number) {
  details.get(number).cells[0].firstChild.replaceChildren(...drawTest(number));
}

function redraw() {
  for (const number of details.keys()) fill(number);
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

function openAt(address) {
  const match = /^#test-(\d+)$/.exec(address);
  const row = match && document.getElementById(`test-${match[1]}`);
  if (!row) return;
  if (row.hidden) showAll();
  toggle(row, true);
  row.querySelector(".open").focus();
}

function showAll() {
  document.getElementById("filters").reset();
  filter();
}
