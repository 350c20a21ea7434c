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
  for (const [r, c] of options.wrong || []) { // light and dark, to be seen on any colour; the cell's own stays in sight
    const box = { x: c + 0.12, y: r + 0.12, width: 0.76, height: 0.76, fill: "none" };
    shape(svg, "rect", { ...box, stroke: "#fff", "stroke-width": 0.24 });
    shape(svg, "rect", { ...box, stroke: "#000", "stroke-width": 0.1 });
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
    const clue = options.question && options.question[r][c] > 0, isWrong = wrong.has(r * side + c);
    if (isWrong) shape(svg, "rect", { x: c, y: r, width: 1, height: 1, fill: "#ffd7d5" });
    const look = isWrong ? { fill: "#000" } : { fill: clue || !options.question ? "var(--ink)" : "var(--path)" };
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

// Wrong cells have an exclamation mark behind them.
function asText(grid, wrong) {
  const marked = new Set((wrong || []).map(([r, c]) => r * grid[0].length + c));
  const show = (value) => (data.characters ? data.characters[value] ?? "?" : value === 255 ? "?" : String(value));
  const cell = (value, at) => show(value) + (marked.has(at) ? "!" : data.kind === "maze" && !marked.size ? "" : " ");
  return grid.map((row, r) => row.map((value, c) => cell(value, r * row.length + c)).join("").trimEnd()).join("\n");
}

function figure(title, text, options = {}) {
  const grid = decode(text), truth = options.truth ? decode(options.truth) : null;
  const size = describeGrid(grid, truth), wrong = truth ? differing(grid, truth) : null;
  const words = options.brief ? "" : ` ${options.note ? options.note + ", " : ""}${size}`;
  const caption = make("figcaption", {}, make("strong", {}, title), words);
  if (!grid.length) return make("figure", {}, caption, options.brief ? "none" : "");
  const textual = document.getElementById("drawing")?.value === "text";
  const label = `${title}, ${size}`;
  const drawn = textual
    ? make("pre", { class: "grid", tabindex: "0", "aria-label": label }, asText(grid, wrong))
    : drawGrid(grid, label, { room: options.room, wrong, question: options.question && decode(options.question) });
  return make("figure", {}, caption, drawn);
}

// Room for the grids of an answer: enough to see each cell of a large one.
function wideRoom(...texts) {
  const sides = texts.filter(Boolean).map(decode).map((grid) => Math.max(grid.length, (grid[0] || []).length));
  return Math.max(210, Math.min(420, 14 * Math.max(...sides)));
}
