// --- titled sections of grids, in a frame of a notebook

for (const [title, grids] of data.sections) {
  const figures = grids.map(([name, grid, truth]) => figure(name, grid, { truth, room: 180 }));
  document.body.append(make("h3", {}, title), make("div", { class: "grids" }, ...figures));
}
if (frameElement) frameElement.style.height = `${document.documentElement.scrollHeight}px`;
