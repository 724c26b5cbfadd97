// Persistent homology: balls that grow round points of the plane, what they join, and the bars of pieces and loops.

function render({ model, el }) {
  const view = frame({ model, el }, "At which radius does the hole open, and at which does it close? What does noise do to its bar?");
  const FAR = 3, HALF = 3.2; // greatest radius, half the plane's side
  let shape = "ring", noise = 0.15, radius = 0.5, count = 28, picked = 0, points = [], bars = [];

  choice(view.controls, "points on", { ring: "a ring", eight: "a figure of eight", pieces: "two pieces", square: "a square: no hole" }, shape, (v) => {
    shape = v;
    scatter();
  });
  slider(view.controls, "noise", [0, 0.8, noise], 0.05, (v) => {
    noise = v;
    scatter();
  });
  slider(view.controls, "radius of the balls", [0, FAR, radius], 0.05, (v) => {
    radius = v;
    show();
  });

  function scatter() {
    const r = random(7);
    points = [...Array(count).keys()].map((k) => {
      const angle = (2 * Math.PI * (k + 0.6 * r())) / count;
      let spot = [2.2 * Math.cos(angle), 2.2 * Math.sin(angle)];
      if (shape === "eight") spot = [(k % 2 ? 1.25 : -1.25) * (1 + Math.cos(angle)), 1.25 * Math.sin(angle)];
      if (shape === "pieces") spot = [(k % 2 ? 1.7 : -1.7) + 0.6 * normal(r), 0.6 * normal(r)];
      if (shape === "square") spot = [4.4 * r() - 2.2, 4.4 * r() - 2.2];
      return spot.map((c) => clamp(c + noise * normal(r), -HALF, HALF));
    });
    bars = barcode(points);
    show();
  }

  const flat = panel(view.panels, "points with a ball round each; arrow keys or dragging move one of them", "Points whose balls meet are joined, and three that are joined make a triangle. Drag a point.", 0.92, (c, width, height, ink) => {
    const { size, x, y } = plane(width, height, 8, -HALF, HALF), unit = size / (2 * HALF);
    const joined = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) <= 2 * radius;
    for (const p of points) dot(c, x(p[0]), y(p[1]), radius * unit, `${BLUE}22`);
    c.fillStyle = `${BLUE}30`;
    for (let i = 0; i < count; i++) for (let j = 0; j < i; j++) {
      if (!joined(points[i], points[j])) continue;
      for (let k = 0; k < j; k++) {
        if (!joined(points[i], points[k]) || !joined(points[j], points[k])) continue;
        c.beginPath();
        for (const p of [points[i], points[j], points[k]]) c.lineTo(x(p[0]), y(p[1]));
        c.fill();
      }
    }
    for (let i = 0; i < count; i++) for (let j = 0; j < i; j++) if (joined(points[i], points[j])) line(c, [points[i], points[j]].map((p) => [x(p[0]), y(p[1])]), `${BLUE}66`, 1);
    points.forEach((p, k) => dot(c, x(p[0]), y(p[1]), 3.5, k === picked ? ORANGE : ink));
  });
  const put = (at) => {
    points[picked] = at.map((c) => clamp(c, -HALF, HALF));
    bars = barcode(points);
    show();
  };
  const spot = (px, py) => plane(flat.canvas.clientWidth, flat.canvas.clientHeight, 8, -HALF, HALF).back(px, py);
  flat.canvas.addEventListener("pointerdown", (event) => {
    const at = spot(...pointer(flat.canvas, event)), far = (k) => Math.hypot(points[k][0] - at[0], points[k][1] - at[1]);
    picked = [...points.keys()].reduce((a, b) => (far(a) <= far(b) ? a : b));
  });
  drag(flat.canvas, (px, py) => put(spot(px, py)));
  arrows(flat.canvas, (dx, dy) => put([points[picked][0] + 0.15 * dx, points[picked][1] + 0.15 * dy]));

  const code = panel(view.panels, "bars of pieces and loops, as far as the radius has come", "A bar for each piece (grey) and each loop (orange), from its birth to its death. The radius draws them.", 0.92, (c, width, height, ink) => {
    const seen = bars.filter((b) => b.death - b.birth > 0.02), to = axes(c, width, height, ink, [0, FAR], [0, seen.length + 1], "radius of the balls", "");
    seen.forEach((b, k) => {
      const begin = to.x(b.birth), y = to.y(k + 1), style = b.degree ? ORANGE : "#888";
      line(c, [[begin, y], [to.x(Math.min(b.death, FAR)), y]], b.degree ? `${ORANGE}33` : "#8883", 3);
      if (radius > b.birth) line(c, [[begin, y], [to.x(Math.min(b.death, radius)), y]], style, 3);
    });
    line(c, [[to.x(radius), to.y(0)], [to.x(radius), to.y(seen.length + 1)]], BLUE, 1);
  });

  function show() {
    const alive = (degree) => bars.filter((b) => b.degree === degree && b.birth <= radius && radius < b.death).length;
    const loops = bars.filter((b) => b.degree === 1).map((b) => b.death - b.birth).sort((a, b) => b - a);
    const many = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
    view.says.textContent = `At radius ${radius.toFixed(2)}: ${many(alive(0), "piece")}, ${many(alive(1), "loop")}. `
      + (loops.length ? `The longest loop lives for ${loops[0].toFixed(2)}` + (loops.length > 1 ? `, the next for ${loops[1].toFixed(2)}.` : ".") : "No loop is ever born.");
    flat.redraw();
    code.redraw();
    model.set("state", { shape, noise, radius, points, bars, pieces: alive(0), loops: alive(1) });
    model.save_changes();
  }

  scatter();
}

/** Bars of pieces and loops of points in the plane, by radius: half the distance at which they are joined. Columns of the boundary matrix are reduced modulo 2. */
function barcode(points) {
  const n = points.length, edges = [];
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) edges.push({ i, j, r: Math.hypot(points[i][0] - points[j][0], points[i][1] - points[j][1]) / 2 });
  edges.sort((a, b) => a.r - b.r);
  const order = new Int32Array(n * n);
  edges.forEach(({ i, j }, k) => (order[i * n + j] = order[j * n + i] = k));
  const bars = [], parent = [...Array(n).keys()], loops = new Set();
  const root = (k) => (parent[k] === k ? k : (parent[k] = root(parent[k])));
  edges.forEach(({ i, j, r }, k) => {
    const a = root(i), b = root(j);
    if (a === b) loops.add(k);
    else bars.push({ degree: 0, birth: 0, death: r });
    parent[a] = b;
  });
  bars.push({ degree: 0, birth: 0, death: 1e9 });
  const killed = new Map(); // by its youngest edge, a boundary that is reduced
  let left = loops.size;
  for (let last = 0; last < edges.length && left; last++) {
    const { i, j } = edges[last];
    for (let k = 0; k < n && left; k++) { // triangles in the order of their longest edge
      const a = order[i * n + k], b = order[j * n + k];
      if (k === i || k === j || a > last || b > last) continue;
      let column = new Set([last, a, b]), youngest = last;
      while (column.size && killed.has(youngest)) {
        for (const edge of killed.get(youngest)) column.delete(edge) || column.add(edge);
        youngest = Math.max(...column);
      }
      if (!column.size) continue;
      killed.set(youngest, column);
      left -= 1;
      if (edges[last].r > edges[youngest].r) bars.push({ degree: 1, birth: edges[youngest].r, death: edges[last].r });
    }
  }
  return bars.sort((a, b) => a.degree - b.degree || b.death - b.birth - (a.death - a.birth));
}

export default { render };
