// What all figures share: numbers, geometry, colours, controls, canvases. Each figure's own file follows this one in the same module.

// --- numbers -----------------------------------------------------------------------------------------------------------

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;

/** Float32Array from the base64 of half-precision numbers. */
function halves(text) {
  return Float32Array.from(new Uint16Array(bytes(text)), (h) => {
    const sign = h >> 15 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  });
}

/** A source of random numbers in [0, 1) that gives the same ones for the same seed (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const normal = (r) => Math.sqrt(-2 * Math.log(1 - r())) * Math.cos(2 * Math.PI * r());
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

// --- geometry, at the paper's scale --------------------------------------------------------------------------------------

const PERIOD = 10, RADIUS = 5;
const wrap = (x, period) => x - period * Math.round(x / period);
const mod = (x, period) => ((x % period) + period) % period;

/** The shortest way from b to a on the Klein bottle, where (x, y) ~ (x + 10, 10 - y) ~ (x, y + 10). */
function kleinDifference(a, b) {
  const straight = [wrap(a[0] - b[0], 2 * PERIOD), wrap(a[1] - b[1], PERIOD)];
  const turned = [straight[0] + (straight[0] < 0 ? PERIOD : -PERIOD), wrap(a[1] + b[1], PERIOD)];
  return Math.hypot(...turned) < Math.hypot(...straight) ? turned : straight;
}

function torusPlace([x, y]) {
  const u = (2 * Math.PI * x) / PERIOD, v = (2 * Math.PI * y) / PERIOD;
  return [(1 + 0.42 * Math.cos(v)) * Math.cos(u), (1 + 0.42 * Math.cos(v)) * Math.sin(u), 0.42 * Math.sin(v)].map((c) => c / 1.42);
}

/** The figure-eight immersion: the bottle crosses itself in space, as it must. */
function kleinPlace([x, y]) {
  const u = (2 * Math.PI * x) / PERIOD, v = (2 * Math.PI * y) / PERIOD;
  const across = Math.cos(u / 2) * Math.sin(v) - Math.sin(u / 2) * Math.sin(2 * v);
  const up = Math.sin(u / 2) * Math.sin(v) + Math.cos(u / 2) * Math.sin(2 * v);
  return [(1.6 + across) * Math.cos(u), (1.6 + across) * Math.sin(u), up].map((c) => c / 2.8);
}

const square = (r) => [PERIOD * r(), PERIOD * r()];

const MANIFOLDS = {
  circle: {
    label: "circle",
    sample: (r) => [2 * Math.PI * RADIUS * r()],
    distance: (a, b) => Math.abs(wrap(a[0] - b[0], 2 * Math.PI * RADIUS)),
    place: ([x]) => [Math.cos(x / RADIUS), Math.sin(x / RADIUS), 0],
  },
  sphere: {
    label: "sphere",
    sample: (r) => {
      const p = [normal(r), normal(r), normal(r)], n = Math.hypot(...p) / RADIUS;
      return p.map((c) => c / n);
    },
    distance: (a, b) => {
      const apart = Math.hypot(...a.map((c, k) => c - b[k])), together = Math.hypot(...a.map((c, k) => c + b[k]));
      return 2 * RADIUS * Math.atan2(apart, together);
    },
    place: (p) => p.map((c) => c / RADIUS),
  },
  torus: {
    label: "torus",
    sample: square,
    difference: (a, b) => [wrap(a[0] - b[0], PERIOD), wrap(a[1] - b[1], PERIOD)],
    distance: (a, b) => Math.hypot(...MANIFOLDS.torus.difference(a, b)),
    place: torusPlace,
  },
  klein: {
    label: "Klein bottle",
    sample: square,
    difference: kleinDifference,
    distance: (a, b) => Math.hypot(...kleinDifference(a, b)),
    place: kleinPlace,
  },
  r3: {
    label: "space (no manifold to go round)",
    sample: (r) => [PERIOD * r(), PERIOD * r(), PERIOD * r()],
    distance: (a, b) => Math.hypot(...a.map((c, k) => c - b[k])),
    place: (p) => p.map((c) => (2 * c) / PERIOD - 1),
  },
};

// --- inhibitors ----------------------------------------------------------------------------------------------------------

const gaussians = (d, p) => p.a * (Math.exp((-d * d) / p.b) - Math.exp(-p.c * d * d));

const INHIBITORS = {
  difference_of_gaussians: {
    label: "difference of Gaussians",
    formula: "<i>f</i> = max <i>g</i> − <i>g</i>, &ensp;<i>g</i>(<i>d</i>) = <i>a</i>·(e<sup>−<i>d</i>²/<i>b</i></sup> − e<sup>−<i>c</i>·<i>d</i>²</sup>)",
    parameters: { a: [10, 200, 100], b: [1, 20, 5], c: [1.05, 10, 4] },
    value: (d, p) => gaussians(Math.sqrt(Math.log(p.b * p.c) / (p.c - 1 / p.b)), p) - gaussians(d, p),
    cheapest: (p) => Math.sqrt(Math.log(p.b * p.c) / (p.c - 1 / p.b)),
  },
  ricker: {
    label: "Ricker wavelet",
    formula: "<i>f</i> = max <i>ψ</i> − <i>ψ</i>, &ensp;<i>ψ</i>(<i>d</i>) = 2/(√(3<i>s</i>)·π<sup>1/4</sup>) · (1 − <i>d</i>²/<i>s</i>²) · e<sup>−<i>d</i>²/2<i>s</i>²</sup>",
    parameters: { s: [0.3, 3, 1] },
    value: (d, { s }) => (2 / (Math.sqrt(3 * s) * Math.PI ** 0.25)) * (1 - (1 - (d / s) ** 2) * Math.exp(-((d / s) ** 2) / 2)),
  },
  diffusion: { label: "diffusion", formula: "<i>f</i> = <i>d</i>²", parameters: {}, value: (d) => d * d },
  sinusoid: {
    label: "sinusoid",
    formula: "<i>f</i> = 50 + 50·cos 2<i>d</i>",
    parameters: {},
    value: (d) => 50 + 50 * Math.cos(2 * d),
    cheapest: () => Math.PI / 2,
  },
  gaussian: {
    label: "Gaussian",
    formula: "<i>f</i> = height·(1 − e<sup>−<i>d</i>²/2·scale²</sup>)",
    parameters: { height: [10, 200, 100], scale: [0.3, 4, 1] },
    value: (d, p) => p.height * (1 - Math.exp(-((d / p.scale) ** 2) / 2)),
  },
  constant: { label: "constant (plain L1)", formula: "<i>f</i> = value", parameters: { value: [1, 100, 50] }, value: (d, p) => p.value },
};

const defaults = (inhibitor) => Object.fromEntries(Object.entries(inhibitor.parameters).map(([name, range]) => [name, range[2]]));

/** What becomes of an embedding that is trained under it. */
function collapse(inhibitor) {
  if (inhibitor.cheapest) return "";
  return inhibitor.label.startsWith("constant")
    ? "It has no slope: an embedding under it gets no gradient."
    : "Distance 0 is cheapest: an embedding that is trained under it collapses to one point.";
}

// --- colours -------------------------------------------------------------------------------------------------------------

const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]];
const PURPLE_ORANGE = [[127, 59, 8], [224, 130, 20], [235, 235, 235], [128, 115, 172], [45, 0, 75]];

/** The colour at t in [0, 1] of a list of stops. */
function colour(t, stops = VIRIDIS) {
  const x = clamp(t, 0, 1) * (stops.length - 1), k = Math.min(stops.length - 2, Math.floor(x));
  return `rgb(${stops[k].map((c, i) => Math.round(c + (x - k) * (stops[k + 1][i] - c))).join(",")})`;
}

const BLUE = "#2a788e", ORANGE = "#d95f02";

// --- a page's elements ---------------------------------------------------------------------------------------------------

const STYLE = `
.modreg-figure { border: 1px solid #8886; border-radius: 6px; padding: 0.8em 1em; margin: 1em 0; font-size: 0.95rem; color: inherit; }
.modreg-figure .question { font-weight: 600; margin: 0 0 0.6em; }
.modreg-figure .controls { display: flex; flex-wrap: wrap; gap: 0.4em 1.4em; align-items: center; margin-bottom: 0.5em; }
.modreg-figure label { display: inline-flex; align-items: center; gap: 0.5em; max-width: 100%; }
.modreg-figure select { min-width: 0; max-width: 100%; }
.modreg-figure output { min-width: 3.2em; font-variant-numeric: tabular-nums; }
.modreg-figure .panels { display: flex; flex-wrap: wrap; gap: 1em; }
.modreg-figure .panel { flex: 1 1 200px; min-width: 0; margin: 0; }
.modreg-figure canvas { width: 100%; display: block; touch-action: none; background: transparent; }
.modreg-figure figcaption { font-size: 0.85em; font-weight: 400; color: inherit; }
.modreg-figure .says { min-height: 2.6em; margin: 0.5em 0 0; }
.modreg-figure .warning { color: #c2410c; font-weight: 600; }
.modreg-figure input[type=range] { width: 9em; }
.modreg-figure :focus-visible { outline: 2px solid ${ORANGE}; outline-offset: 2px; }
.modreg-figure > .controls { justify-content: space-between; align-items: start; }
.modreg-figure > .controls > .controls { flex: 1 1 12em; margin: 0; }
.modreg-figure .panel.small { flex: 1 1 90px; }
.modreg-figure .panel.third { flex: 1 1 140px; }
a[href*="#set:"] { color: ${ORANGE}; text-decoration: underline dashed 1.5px; text-underline-offset: 0.2em; cursor: pointer; }
html[data-theme="dark"] a[href*="#set:"], body[data-jp-theme-light="false"] a[href*="#set:"] { color: #fdae6b; }
`;

function element(parent, tag, attributes = {}, text = "") {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  if (/^(input|select|button|canvas)$/.test(tag)) made.dataset.lmSuppressShortcuts = ""; // else JupyterLab takes the arrow keys for itself
  parent.append(made);
  return made;
}

/** The frame of a figure: its question, a row for controls with a reset, a row for panels, and a line that says what is seen. */
function frame({ el, model }, question) {
  el.replaceChildren();
  const root = element(el, "section", { class: "modreg-figure", "aria-label": question, "data-figure": NAME });
  element(root, "style", {}, STYLE);
  element(root, "p", { class: "question" }, question);
  const row = element(root, "div", { class: "controls" }), controls = element(row, "div", { class: "controls" });
  button(row, "Reset", () => render({ el, model }));
  return {
    root, controls,
    panels: element(root, "div", { class: "panels" }),
    says: element(root, "p", { class: "says", "aria-live": "polite" }),
  };
}

/** Words of the text that set a figure: a link to `#set:NAME?control=value&…` sets the controls of those labels in the nearest figure of that name. */
function follow(event) {
  const link = event.target.closest?.('a[href*="#set:"]');
  if (!link) return;
  event.preventDefault();
  const [name, wanted] = decodeURI(link.getAttribute("href")).split("#set:")[1].split("?"), from = link.getBoundingClientRect().top;
  const far = (figure) => Math.abs(figure.getBoundingClientRect().top - from);
  const [figure] = [...document.querySelectorAll(`[data-figure="${name}"]`)].sort((a, b) => far(a) - far(b));
  if (!figure) return;
  for (const [label, value] of new URLSearchParams(wanted)) {
    const control = figure.querySelector(`[aria-label="${label}"]`) ?? [...figure.querySelectorAll("button")].find((made) => made.textContent === label);
    if (control?.tagName === "BUTTON") control.click();
    else if (control) {
      control.value = value;
      control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input"));
    }
  }
  figure.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

if (!window.modregFollows) {
  window.modregFollows = true; // one listener for all figures of a page
  document.addEventListener("click", follow, true);
}

function slider(parent, name, [min, max, value], step, change) {
  const label = element(parent, "label", {}, name);
  const input = element(label, "input", { type: "range", min, max, step, value, "aria-label": name });
  const shown = element(label, "output", {}, String(value));
  input.addEventListener("input", () => {
    shown.textContent = input.value;
    change(Number(input.value));
  });
  return { get value() { return Number(input.value); }, set value(v) { input.value = v; shown.textContent = input.value; } };
}

function choice(parent, name, options, value, change) {
  const label = element(parent, "label", {}, name);
  const select = element(label, "select", { "aria-label": name });
  for (const [key, text] of Object.entries(options)) element(select, "option", { value: key }, text);
  select.value = value;
  select.addEventListener("change", () => change(select.value));
  return select;
}

function button(parent, text, click) {
  const made = element(parent, "button", { type: "button" }, text);
  made.addEventListener("click", click);
  return made;
}

/** A canvas as wide as its panel, drawn by `draw(context, width, height, ink)` at once, when its size or the page's colours change, and on `redraw()`. */
function panel(parent, label, caption, ratio, draw, size = "") {
  const figure = element(parent, "figure", { class: `panel ${size}` });
  const canvas = element(figure, "canvas", { role: "img", "aria-label": label, tabindex: 0 });
  element(figure, "figcaption", {}, caption);
  const redraw = () => {
    if (!canvas.isConnected) return; // the figure was reset
    const width = canvas.clientWidth || 320, height = Math.round(width * ratio), dense = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    const context = canvas.getContext("2d");
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "12px sans-serif";
    draw(context, width, height, getComputedStyle(figure).color);
  };
  new ResizeObserver(redraw).observe(figure);
  new MutationObserver(() => setTimeout(redraw, 50)).observe(document.documentElement, { attributes: true });
  return { canvas, redraw };
}

/** Where on the canvas a pointer is, from 0 to 1 in both directions. */
function pointer(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

/** Call `move(x, y, event)` while the pointer is down on the canvas. */
function drag(canvas, move) {
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    move(...pointer(canvas, event), event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && move(...pointer(canvas, event), event));
}

/** Call `move(dx, dy)` for the arrow keys, with dx and dy in -1, 0, 1. */
function arrows(canvas, move) {
  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    move(...keys[event.key]);
  });
}

/** Round numbers between two bounds, four to eight of them. */
function ticks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].find((m) => m * power >= rough) * power;
  const first = Math.ceil(low / step), count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

/** Axes in a box: returns the functions that take data to the canvas. */
function axes(context, width, height, ink, [x0, x1], [y0, y1], xlabel, ylabel) {
  const left = 46, right = width - 10, top = 8, bottom = height - 34;
  const x = (v) => left + ((v - x0) / (x1 - x0)) * (right - left), y = (v) => bottom - ((v - y0) / (y1 - y0)) * (bottom - top);
  context.strokeStyle = context.fillStyle = ink;
  context.lineWidth = 1;
  context.strokeRect(left, top, right - left, bottom - top);
  context.textAlign = "center";
  for (const v of ticks(x0, x1)) context.fillText(v, clamp(x(v), left + 4, right - 8), bottom + 14);
  context.fillText(xlabel, (left + right) / 2, height - 5);
  context.textAlign = "right";
  for (const v of ticks(y0, y1)) context.fillText(v, left - 4, clamp(y(v) + 4, top + 10, bottom));
  context.save();
  context.translate(11, (top + bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(ylabel, 0, 0);
  context.restore();
  return { x, y };
}

/** The largest square in a canvas, less a margin, for data from `low` to `high`; `back` takes a pointer's place, from 0 to 1, to the data. */
function plane(width, height, margin, low, high) {
  const size = Math.min(width, height) - margin, left = (width - size) / 2, top = margin / 2, span = high - low;
  return {
    size, left, top,
    x: (v) => left + ((v - low) / span) * size,
    y: (v) => top + size - ((v - low) / span) * size,
    back: (px, py) => [low + ((px * width - left) / size) * span, low + ((top + size - py * height) / size) * span],
  };
}

function line(context, points, style, width = 2) {
  context.strokeStyle = style;
  context.lineWidth = width;
  context.beginPath();
  points.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

function dot(context, x, y, radius, style, ring = null) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  if (style) {
    context.fillStyle = style;
    context.fill();
  }
  if (ring) {
    context.strokeStyle = ring;
    context.lineWidth = 1.5;
    context.stroke();
  }
}

function star(context, x, y, radius, style) {
  context.beginPath();
  for (let k = 0; k < 10; k++) {
    const r = k % 2 ? radius * 0.45 : radius, t = (k * Math.PI) / 5 - Math.PI / 2;
    context.lineTo(x + r * Math.cos(t), y + r * Math.sin(t));
  }
  context.closePath();
  context.fillStyle = style;
  context.fill();
}

/** A view of points in space that is turned by dragging and by the arrow keys. */
function turning(canvas, redraw, view = { yaw: 0.6, pitch: 0.9 }) {
  let last = null;
  canvas.addEventListener("pointerdown", (event) => (last = pointer(canvas, event)));
  drag(canvas, (x, y) => {
    view.yaw += 4 * (x - last[0]);
    view.pitch = clamp(view.pitch + 4 * (y - last[1]), -1.57, 1.57);
    last = [x, y];
    redraw();
  });
  arrows(canvas, (dx, dy) => {
    view.yaw += 0.15 * dx;
    view.pitch = clamp(view.pitch + 0.15 * dy, -1.57, 1.57);
    redraw();
  });
  return ([x, y, z], width, height) => {
    const [a, b] = [x * Math.cos(view.yaw) - y * Math.sin(view.yaw), x * Math.sin(view.yaw) + y * Math.cos(view.yaw)];
    const up = z * Math.cos(view.pitch) - b * Math.sin(view.pitch), deep = z * Math.sin(view.pitch) + b * Math.cos(view.pitch);
    const size = 0.47 * Math.min(width, height);
    return [width / 2 + size * a, height / 2 - size * up, deep];
  };
}
