"use strict";
(() => {
  const board = document.getElementById("board");
  const body = board.tBodies[0];
  const headers = [...board.tHead.rows[0].cells];
  const column = (name) => headers.findIndex((h) => h.firstElementChild.dataset.name === name);

  // Sort by a column: numbers by value, empty cells last; rows with equal keys keep their order.
  const sort = (index, ascending) => {
    const rows = [...body.rows];
    const key = (row) => row.cells[index].dataset.key;
    const numeric = rows.every((r) => key(r) === "" || !Number.isNaN(Number(key(r))));
    const sign = ascending ? 1 : -1;
    rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return sign * (numeric ? Number(x) - Number(y) : x.localeCompare(y));
    });
    headers.forEach((h, i) => h.setAttribute("aria-sort", i !== index ? "none" : ascending ? "ascending" : "descending"));
    body.append(...rows);
  };
  headers.forEach((h, index) => {
    h.firstElementChild.addEventListener("click", () => sort(index, h.getAttribute("aria-sort") === "descending" || (h.getAttribute("aria-sort") === "none" && index < 3)));
  });

  // Show the rows that contain every search word and match every choice. With several reference sets, one is always chosen: their scores cannot be compared.
  const search = document.getElementById("search");
  const choices = ["dataset", "algo", "selection", "reference"].filter((name) => document.getElementById(`filter-${name}`)).map((name) => ({ select: document.getElementById(`filter-${name}`), index: column(name) }));
  for (const { select, index } of choices) {
    for (const value of new Set([...body.rows].map((r) => r.cells[index].dataset.key))) select.add(new Option(value, value));
  }
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = [...row.cells].map((c) => c.textContent).join(" ").toLowerCase();
      row.hidden = !(words.every((w) => text.includes(w)) && choices.every((c) => !c.select.value || row.cells[c.index].dataset.key === c.select.value));
      shown += !row.hidden;
    }
    document.getElementById("count").textContent = `${shown} of ${body.rows.length} rows`;
  };
  search.addEventListener("input", filter);
  choices.forEach((c) => c.select.addEventListener("change", filter));
  const selection = choices[2].select;
  if ([...selection.options].some((o) => o.value === "last")) selection.value = "last";
  const reference = document.getElementById("filter-reference");
  if (reference) reference.value = reference.dataset.first;
  filter();

  // Draw the curve of a run when its details are opened.
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const draw = (holder) => {
    const data = JSON.parse(holder.dataset.curve);
    const values = Object.values(data.seeds).flat().filter((v) => v !== null);
    if (!values.length) return;
    const [width, height, left, right, top, bottom] = [520, 240, 60, 14, 12, 38];
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (low === high) [low, high] = [low - 1, high + 1];
    const [first, last] = [data.updates[0], data.updates[data.updates.length - 1]];
    const x = (u) => (first === last ? (left + width - right) / 2 : left + ((u - first) / (last - first)) * (width - left - right));
    const y = (v) => top + ((high - v) / (high - low)) * (height - top - bottom);
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${data.label} by update` });
    for (const v of [low, (low + high) / 2, high]) {
      root.append(svg("line", { x1: left, x2: width - right, y1: y(v), y2: y(v), stroke: "currentColor", "stroke-opacity": 0.2 }));
      root.append(svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end", "font-size": 12, fill: "currentColor" }, v.toPrecision(3)));
    }
    for (const u of first === last ? [first] : [first, last]) {
      const anchor = first === last ? "middle" : u === first ? "start" : "end";
      root.append(svg("text", { x: x(u), y: height - 20, "text-anchor": anchor, "font-size": 12, fill: "currentColor" }, u));
    }
    root.append(svg("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle", "font-size": 12, fill: "currentColor" }, `updates (${data.label})`));
    Object.values(data.seeds).forEach((series, i) => {
      const points = series.map((v, j) => (v === null ? null : [x(data.updates[j]), y(v)])).filter(Boolean);
      const style = { fill: "none", stroke: "var(--accent)", "stroke-width": 2, "stroke-dasharray": ["none", "7 3", "2 3", "9 3 2 3"][i % 4] };
      root.append(svg("polyline", { points: points.map((p) => p.join(",")).join(" "), ...style }));
      for (const [cx, cy] of points) root.append(svg("circle", { cx, cy, r: 3, fill: "var(--accent)" }));
    });
    holder.append(root);
  };
  document.querySelectorAll("details.run").forEach((run) => {
    const show = () => {
      const holder = run.querySelector(".curve");
      if (run.open && !holder.firstChild) draw(holder);
    };
    run.addEventListener("toggle", show);
    show();
  });
  const open = () => {
    const target = location.hash === "#protocol" && document.getElementById("protocol");
    if (target) target.open = true;
  };
  window.addEventListener("hashchange", open);
  open();
  if (location.hash.startsWith("#run-")) {
    const run = document.getElementById(location.hash.slice(1));
    if (run) run.open = true;
  }
})();
