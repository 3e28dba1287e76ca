"use strict";

// Whatever comes from the recording reaches the page as text: through textContent and attributes
// that cannot hold code. Nothing here reads or writes HTML.

const content = JSON.parse(document.getElementById("content").textContent);
const OVERVIEW = -1;
const WIDEST_BAR = 48;
const LEGIBLE = 0.85; // numbers of channels are left out where the picture is made smaller
const SVG = "http://www.w3.org/2000/svg";
const chosen = { layer: OVERVIEW, sample: 0 };
const folded = new Set();

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// A path that may be broken after each slash.
function pathWords(path) {
  const parts = path.split(/(?<=\/)/);
  return parts.flatMap((part, number) => (number ? [element("wbr"), part] : [part]));
}

function definitions(rows) {
  const cells = rows.flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, value),
  ]);
  return element("dl", {}, ...cells);
}

// --- the tree of layers

const hasConcerns = (layer) => layer.tensors.some((tensor) => tensor.concerns.length > 0);

function visibleRows() {
  const words = byId("search").value.trim().toLowerCase();
  if (words) return rowsFound(words);
  const rows = [];
  let below = Infinity; // rows deeper than this are folded away
  content.tree.forEach((row, number) => {
    if (row.depth > below) return;
    below = folded.has(number) ? row.depth : Infinity;
    rows.push(number);
  });
  return rows;
}

function rowsFound(words) {
  const kept = new Set();
  const above = [];
  content.tree.forEach((row, number) => {
    above[row.depth] = number;
    const path = row.layer === null ? null : content.layers[row.layer].path;
    if (path === null || !path.toLowerCase().includes(words)) return;
    above.slice(0, row.depth + 1).forEach((parent) => kept.add(parent));
  });
  return [...kept].sort((a, b) => a - b);
}

function isFolder(number) {
  const next = content.tree[number + 1];
  return next !== undefined && next.depth > content.tree[number].depth;
}

function treeButton(number) {
  const row = content.tree[number];
  const layer = row.layer === null ? null : content.layers[row.layer];
  const sign = isFolder(number) ? (folded.has(number) ? "▸" : "▾") : "";
  const flag = layer && hasConcerns(layer) ? element("span", { class: "flag" }, "▲") : null;
  if (flag) flag.title = layer.tensors.flatMap((t) => t.concerns.map((c) => c.words)).join("\n");
  const button = element(
    "button",
    { type: "button", class: layer ? "layer" : "folder" },
    element("span", { class: "fold", "aria-hidden": "true" }, sign),
    element("span", { class: "label" }, row.label || "(no name)"),
    ...(flag ? [flag] : []),
  );
  button.style.paddingLeft = `${0.4 + Math.min(row.depth, 12) * 0.9}rem`;
  if (!layer) button.setAttribute("aria-expanded", String(!folded.has(number)));
  if (layer && row.layer === chosen.layer) button.setAttribute("aria-current", "true");
  button.addEventListener("click", (event) => {
    const onSign = event.target.classList.contains("fold") && isFolder(number);
    if (layer && !onSign) return select(row.layer, chosen.sample, true);
    if (!folded.delete(number)) folded.add(number);
    drawTree();
  });
  return button;
}

function drawTree() {
  const rows = visibleRows();
  const overview = element(
    "button",
    { type: "button" },
    element("span", { class: "fold", "aria-hidden": "true" }),
    element("span", { class: "label" }, "Overview"),
  );
  overview.addEventListener("click", () => select(OVERVIEW, chosen.sample, true));
  if (chosen.layer === OVERVIEW) overview.setAttribute("aria-current", "true");
  const buttons = [overview, ...rows.map(treeButton)];
  byId("tree").replaceChildren(...buttons.map((button) => element("li", {}, button)));
  const searched = byId("search").value.trim();
  const every = `${content.layers.length} layer${content.layers.length === 1 ? "" : "s"}`;
  byId("found").textContent = searched ? `${countFound(searched)} of ${every}` : every;
  byId("tree").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
}

function countFound(searched) {
  const words = searched.toLowerCase();
  return content.layers.filter((layer) => layer.path.toLowerCase().includes(words)).length;
}

// --- pictures

function colourScale(tensor) {
  const ramp = element("span", { class: "ramp", "aria-hidden": "true" });
  ramp.style.background = `linear-gradient(90deg, ${content.colours[tensor.scale].join(", ")})`;
  return element(
    "div",
    { class: "scale" },
    element("span", {}, tensor.low),
    ramp,
    element("span", {}, `${tensor.high}  ${tensor.quantity}`),
  );
}

function pictureOf(tensor, path) {
  const picture = tensor.pictures[chosen.sample];
  const name = content.samples[chosen.sample].name;
  const alt = `${tensor.title} of ${path}, ${name}: ${picture.words}`;
  if (tensor.kind === "bars") {
    const words = element("figcaption", {}, `${picture.words}; all samples on the same axis`);
    return element("figure", { class: "drawn" }, bars(tensor, picture.values, alt), words);
  }
  const colours = `colours from ${tensor.low} to ${tensor.high}`;
  const [height, width] = tensor.size;
  const size = {
    width: Math.round(width * tensor.times),
    height: Math.round(height * tensor.times),
  };
  const image = element("img", { alt: `${alt}; ${colours}`, src: picture.source, decoding: "async", ...size });
  const frame = element("div", { class: "frame" }, image);
  if (tensor.numbered && roomInMain() > size.width * LEGIBLE) addNumbers(frame, tensor);
  const reading = element("p", { class: "reading" });
  frame.addEventListener("pointermove", (event) => point(event, tensor, frame, reading));
  frame.addEventListener("pointerdown", (event) => point(event, tensor, frame, reading));
  frame.addEventListener("pointerleave", () => unpoint(frame, reading));
  const order = tensor.kind === "steps" ? stepWords(tensor) : orderWords(tensor);
  return element(
    "figure",
    { class: "drawn" },
    frame,
    reading,
    colourScale(tensor),
    element("figcaption", {}, `${picture.words}${order}; all samples in the same colours`),
  );
}

const roomInMain = () => byId("main").clientWidth - 40;

function addNumbers(frame, tensor) {
  const [height, width] = tensor.size;
  frame.classList.add("numbered");
  tensor.labels.forEach((label, index) => {
    const number = element("span", { class: "number", "aria-hidden": "true" }, label);
    const [row, column] = [Math.floor(index / tensor.columns), index % tensor.columns];
    number.style.left = `${((column * (tensor.tile[1] + tensor.gaps[1])) / width) * 100}%`;
    number.style.bottom = `${(1 - (row * (tensor.tile[0] + tensor.gaps[0])) / height) * 100}%`;
    frame.append(number);
  });
}

function orderWords(tensor) {
  if (tensor.labels.length === 1) return "";
  const first = tensor.labels.slice(0, 3).join(", ");
  const sliced = first.includes(":") ? ` (${tensor.noun}:slice)` : "";
  return ` · row by row from the top left, ${tensor.columns} to a row: `
    + `${first}${tensor.labels.length > 3 ? ", …" : ""}${sliced}`;
}

const stepWords = (tensor) => ` · ${tensor.noun}s down, from ${tensor.labels[0]} at the top`;

function point(event, tensor, frame, reading) {
  const box = frame.getBoundingClientRect();
  const [height, width] = tensor.size;
  const x = ((event.clientX - box.left) / box.width) * width;
  const y = ((event.clientY - box.top) / box.height) * height;
  const cell = tensor.kind === "steps"
    ? [1, width]
    : tensor.tile.map((side, axis) => side + tensor.gaps[axis]);
  const [row, column] = [Math.floor(y / cell[0]), Math.floor(x / cell[1])];
  const index = tensor.kind === "steps" ? row : row * tensor.columns + column;
  unpoint(frame, reading);
  if (index < 0 || index >= tensor.labels.length || column >= tensor.columns) return;
  const [channel, slice] = tensor.labels[index].split(":");
  reading.textContent = `${tensor.noun} ${channel}${slice ? `, slice ${slice}` : ""}`;
  const side = tensor.kind === "steps" ? cell : tensor.tile;
  const outline = element("span", { class: "outline" });
  outline.style.left = `${((column * cell[1]) / width) * 100}%`;
  outline.style.top = `${((row * cell[0]) / height) * 100}%`;
  outline.style.width = `${(side[1] / width) * 100}%`;
  outline.style.height = `${(side[0] / height) * 100}%`;
  frame.append(outline);
}

function unpoint(frame, reading) {
  frame.querySelector(".outline")?.remove();
  reading.textContent = "";
}

function bars(tensor, values, alt) {
  const width = Math.max(280, Math.min(640, roomInMain()));
  const [left, top, bottom, height] = [58, 8, 170, 190];
  const [low, high] = [Math.min(0, tensor.ends[0]), Math.max(0, tensor.ends[1])];
  const half = high / 2 - low / 2 || 1; // the whole could overflow
  const y = (value) => bottom - ((value / 2 - low / 2) / half) * (bottom - top);
  const step = Math.min(WIDEST_BAR, (width - left) / values.length);
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  drawn.setAttribute("aria-label", alt);
  drawn.append(shape("line", { class: "axis", x1: left, x2: width, y1: y(0), y2: y(0) }));
  for (const value of new Set([low, 0, high])) {
    const at = { x: left - 8, y: y(value) + 4, "text-anchor": "end" };
    drawn.append(shape("text", at, short(value)));
  }
  const every = Math.ceil(values.length / (width / 34));
  values.forEach((value, number) => {
    drawn.append(bar(value, `${tensor.noun} ${tensor.labels[number]}`, {
      x: left + number * step + step * 0.08, width: step * 0.84, zero: y(0), y,
    }));
    if (number % every) return;
    const at = { x: left + (number + 0.5) * step, y: height - 4, "text-anchor": "middle" };
    drawn.append(shape("text", at, tensor.labels[number]));
  });
  return drawn;
}

function bar(value, name, place) {
  const title = shape("title", {}, `${name}: ${value}`);
  const { x, width, zero } = place;
  if (typeof value === "string") { // NaN or an infinity
    return shape("rect", { class: "lost", x, width, y: zero - 4, height: 8 }, title);
  }
  const [end, kind] = [place.y(value), value < 0 ? "negative" : "positive"];
  const box = { x, width, y: Math.min(end, zero), height: Math.max(0.5, Math.abs(end - zero)) };
  return shape("rect", { class: kind, ...box }, title);
}

const short = (value) => String(Number(value.toPrecision(3)));

function histogram(found) {
  const width = Math.max(260, Math.min(440, roomInMain()));
  const [bottom, height] = [110, 128];
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  const ends = [found.edges[0], found.edges[found.edges.length - 1]];
  drawn.setAttribute("aria-label", `histogram of the values from ${ends[0]} to ${ends[1]}`);
  found.heights.forEach((tall, bin) => {
    const [from, to] = [found.places[bin] * width, found.places[bin + 1] * width];
    const many = found.counts[bin].toLocaleString("en");
    const title = `${found.edges[bin]} to ${found.edges[bin + 1]}: ${many} values`;
    const kind = found.edges[bin].startsWith("-") ? "negative" : "positive";
    const gap = to - from > 3 ? 0.7 : 0;
    const box = { x: from, width: to - from - gap, y: bottom * (1 - tall), height: bottom * tall };
    drawn.append(shape("rect", { class: kind, ...box }, shape("title", {}, title)));
  });
  drawn.append(shape("line", { class: "axis", x1: 0, x2: width, y1: bottom, y2: bottom }));
  for (const [x, words, anchor] of histogramTicks(found, ends, width)) {
    drawn.append(shape("text", { x, y: height - 4, "text-anchor": anchor }, words));
  }
  return drawn;
}

function histogramTicks(found, ends, width) {
  const ticks = [[0, ends[0], "start"], [width, ends[1], "end"]];
  const zero = found.zero === null ? 0 : found.zero * width;
  if (zero > 60 && zero < width - 60) ticks.push([zero, "0", "middle"]);
  return ticks;
}

// --- a layer

function sampleButtons() {
  const buttons = content.samples.map((sample, number) => {
    const [name, ...rest] = sample.name.split(" · ");
    const words = element("span", {}, name, element("small", {}, rest.join(" · ")));
    const button = element("button", { type: "button" }, ...thumbnail(sample.position, ""), words);
    button.setAttribute("aria-pressed", String(number === chosen.sample));
    button.addEventListener("click", () => select(chosen.layer, number));
    return button;
  });
  return element("div", { class: "samples", role: "group", "aria-label": "Samples" }, ...buttons);
}

function thumbnail(position, alt) {
  const source = content.thumbnails[position];
  return source ? [element("img", { src: source, alt, decoding: "async" })] : [];
}

function tensorSection(tensor, path) {
  const { shape: size, axes, dtype, bytes } = tensor;
  const section = element(
    "section",
    { class: "tensor" },
    element("h3", {}, tensor.title),
    element("p", { class: "quiet" }, `${size} · ${axes} · ${dtype} · ${bytes}`),
  );
  if (tensor.concerns.length) section.append(concernList(tensor.concerns));
  if (tensor.pictures.length) section.append(pictureOf(tensor, path));
  else section.append(element("p", { class: "quiet" }, tensor.without));
  section.append(facts(tensor));
  if (tensor.top.length) section.append(topSamples(tensor));
  return section;
}

function concernList(concerns) {
  const items = concerns.map((concern) => element("li", {}, concern.words));
  return element("ul", { class: "concerns" }, ...items);
}

function facts(tensor) {
  const words = element("div", {}, element("h4", {}, "All samples"), definitions(tensor.statistics));
  if (tensor.histogram === null) return element("div", { class: "facts" }, words);
  const spread = element(
    "figure",
    {},
    element("h4", {}, "Distribution of all values"),
    histogram(tensor.histogram),
    element("figcaption", {}, "areas are numbers of values; zeros are left out"),
  );
  return element("div", { class: "facts" }, words, spread);
}

function topSamples(tensor) {
  const rows = tensor.top.map(({ channel, samples }) => {
    const items = samples.map(({ position, name, value }) => {
      const seen = thumbnail(position, `input of ${name}, ${value} in ${channel}`);
      return element("li", {}, ...seen, element("strong", {}, value), element("br"), name);
    });
    return element("div", { class: "row" }, element("strong", {}, channel), element("ul", {}, ...items));
  });
  const words = "Samples with the largest values, for the channels of the largest root mean square";
  return element("div", { class: "top" }, element("h4", {}, words), ...rows);
}

function layerView(layer) {
  const title = element(
    "div",
    { class: "title" },
    element("h2", {}, ...pathWords(layer.path)),
    element("span", { class: "quiet" }, layer.class),
  );
  const sections = layer.tensors.map((tensor) => tensorSection(tensor, layer.path));
  return [title, sampleButtons(), ...sections];
}

// --- the overview

function overviewView() {
  const parts = [
    element("div", { class: "title" }, element("h2", {}, "Overview")),
    ...content.notes.map((note) => element("p", { class: "notes" }, note)),
    element("section", {}, element("h3", {}, "Origin"), definitions(content.provenance)),
    element("section", {}, element("h3", {}, "To look at first"), allConcerns()),
    element("section", {}, element("h3", {}, "Layers"), layerTable()),
  ];
  return [element("div", { class: "overview" }, ...parts)];
}

function allConcerns() {
  const items = content.layers.flatMap((layer, number) =>
    layer.tensors.flatMap((tensor) => tensor.concerns.map((concern) => {
      const name = tensor.title === "activation" ? layer.path : `${layer.path} (${tensor.title})`;
      return element("li", {}, layerLink(name, number), `: ${concern.words}`);
    })));
  if (items.length) return element("ul", { class: "concerns" }, ...items);
  const words = "Nothing: no NaN or infinity, no channel that is always zero or constant, "
    + "no saturation.";
  return element("p", {}, words);
}

function layerLink(words, number) {
  const open = () => select(number, chosen.sample, true);
  return element("button", { type: "button", class: "link", onclick: open }, ...pathWords(words));
}

function layerTable() {
  const names = ["mean", "standard deviation", "least", "greatest", "zeros", "NaN or infinite"];
  const titles = ["layer", "class", "shape", "size", "mean", "std. dev.", "least", "greatest"];
  titles.push("zeros", "NaN, inf");
  const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)));
  const rows = content.layers.flatMap((layer, number) => layer.tensors.map((tensor) => {
    const name = tensor.title === "activation" ? layer.path : `${layer.path} (${tensor.title})`;
    const known = Object.fromEntries(tensor.statistics);
    const cells = [layer.class, tensor.shape, tensor.bytes, ...names.map((n) => known[n] ?? "–")];
    return element(
      "tr",
      {},
      element("td", {}, layerLink(name, number)),
      ...cells.map((cell) => element("td", {}, cell)),
    );
  }));
  return element("div", { class: "wide" }, element("table", {}, head, ...rows));
}

// --- what is chosen

function select(layer, sample, toTop = false) {
  chosen.layer = layer;
  chosen.sample = sample;
  byId("side").classList.remove("open");
  byId("menu").setAttribute("aria-expanded", "false");
  drawTree();
  drawMain();
  if (toTop) window.scrollTo(0, 0);
  remember();
}

function drawMain() {
  const layer = content.layers[chosen.layer];
  byId("main").replaceChildren(...(layer ? layerView(layer) : overviewView()));
  const sample = content.samples[chosen.sample];
  byId("status").textContent = layer ? `${layer.path}, ${sample ? sample.name : ""}` : "Overview";
}

function remember() {
  const layer = content.layers[chosen.layer];
  const words = layer ? { layer: layer.path, sample: String(chosen.sample) } : {};
  history.replaceState(null, "", `#${new URLSearchParams(words)}`);
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  const path = words.get("layer");
  const sample = Number(words.get("sample"));
  const layer = content.layers.findIndex((found) => found.path === path);
  select(layer, content.samples[sample] ? sample : 0);
}

function moveLayer(by) {
  const shown = visibleRows().map((n) => content.tree[n].layer).filter((n) => n !== null);
  const all = [OVERVIEW, ...shown];
  const here = all.indexOf(chosen.layer);
  const there = here < 0 ? (by > 0 ? 1 : 0) : here + by;
  if (all[there] !== undefined) select(all[there], chosen.sample, true);
}

function moveSample(by) {
  const there = chosen.sample + by;
  if (content.samples[there]) select(chosen.layer, there);
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function showTheme() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
}

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
}

function openSearch() {
  byId("side").classList.add("open");
  byId("menu").setAttribute("aria-expanded", "true");
  byId("search").focus();
  byId("search").select();
}

function closeSearch() {
  byId("search").value = "";
  byId("side").classList.remove("open");
  drawTree();
  byId("main").focus({ preventScroll: true });
}

const everywhere = {
  ArrowUp: () => moveLayer(-1),
  ArrowDown: () => moveLayer(1),
  Escape: closeSearch,
};
const outsideSearch = {
  ArrowLeft: () => moveSample(-1),
  ArrowRight: () => moveSample(1),
  "/": openSearch,
  o: () => select(OVERVIEW, chosen.sample, true),
  t: switchTheme,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inSearch = event.target === byId("search");
  const action = everywhere[event.key] ?? (inSearch ? undefined : outsideSearch[event.key]);
  if (!action) return;
  event.preventDefault();
  action();
});
byId("search").addEventListener("input", drawTree);
byId("search").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  const words = byId("search").value.trim().toLowerCase();
  const first = content.layers.findIndex((layer) => layer.path.toLowerCase().includes(words));
  if (first >= 0) select(first, chosen.sample, true);
});
byId("menu").addEventListener("click", () => {
  const open = byId("side").classList.toggle("open");
  byId("menu").setAttribute("aria-expanded", String(open));
});
byId("theme").addEventListener("click", switchTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
window.addEventListener("hashchange", recall);
let resizing = 0;
window.addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(drawMain, 150);
});

document.title = `${content.file} · actscope report`;
byId("file").textContent = content.file;
byId("summary").textContent = content.summary;
showTheme();
recall();
