// Neurons that are placed by their wiring: joined to those whose rows are like theirs, measured along the joints, laid on a circle, and numbered as they lie there.

const NEURONS = 60, PARTNERS = 6;

function render({ model, el }) {
  const view = frame({ model, el }, "The matrix comes in no order. Put its neurons where they belong. Would you have seen that it has a shape, and does the random one get one too?");
  let wired = "circle", noise = 0.1, way = 0, wiring = [], start = [], end = [];

  choice(view.controls, "wired on", { circle: "a circle", line: "a line, with two ends", nothing: "nothing: by lot" }, wired, (v) => {
    wired = v;
    wire();
  });
  slider(view.controls, "share of strangers", [0, 0.8, noise], 0.05, (v) => {
    noise = v;
    wire();
  });
  slider(view.controls, "on the way", [0, 1, way], 0.02, (v) => {
    way = v;
    show();
  });

  function wire() {
    const r = random(3), place = [...Array(NEURONS).keys()].map(() => r());
    const far = (i, j) => Math.abs(wired === "circle" ? wrap(place[i] - place[j], 1) : place[i] - place[j]);
    wiring = place.map((_, i) => {
      const others = place.map((_, j) => j).filter((j) => j !== i), near = [...others].sort((a, b) => far(i, a) - far(i, b)).slice(0, PARTNERS);
      const row = new Set(near.map((j) => (wired === "nothing" || r() < noise ? others[Math.floor(r() * others.length)] : j)));
      return place.map((_, j) => (row.has(j) ? 1 : 0));
    });
    start = place.map(() => 2 * Math.PI * r());
    end = placed(wiring);
    show();
  }

  /** Where each neuron is now: on the shorter way from where it was to where it belongs. */
  const angles = () => start.map((a, k) => mod(a + way * wrap(end[k] - a, 2 * Math.PI), 2 * Math.PI));

  const round = panel(view.panels, "neurons on a circle, and who is joined to whom", "Each dot is a neuron, each line a connection. Short lines: neighbours are joined.", 0.92, (c, width, height, ink) => {
    const { x, y } = plane(width, height, 20, -1, 1), spots = angles().map((a) => [x(Math.cos(a)), y(Math.sin(a))]);
    wiring.forEach((row, i) => row.forEach((joined, j) => joined && line(c, [spots[i], spots[j]], `${BLUE}40`, 1)));
    for (const [a, b] of spots) dot(c, a, b, 3.5, ink);
  });

  const matrix = panel(view.panels, "the same connections as a matrix, its neurons numbered as they lie on the circle", "Row: to, column: from, numbered round the circle.", 0.92, (c, width, height, ink) => {
    const { size, left, top } = plane(width, height, 20, 0, 1), cell = size / NEURONS;
    c.strokeStyle = ink;
    c.strokeRect(left, top, size, size);
    const now = angles(), order = [...now.keys()].sort((a, b) => now[a] - now[b]);
    c.fillStyle = BLUE;
    order.forEach((i, row) => order.forEach((j, column) => wiring[i][j] && c.fillRect(left + column * cell, top + row * cell, cell, cell)));
  });

  function show() {
    const now = angles(), fit = explained(wiring, now);
    view.says.textContent = `Distance on the circle explains ${(100 * fit).toFixed(0)} % of who is joined to whom`
      + (way === 1 ? `. Whoever places neurons finds some order even in a matrix that has none: set "wired on" to nothing and see how much.` : `, ${way ? "on the way" : "as the neurons come"}.`);
    round.redraw();
    matrix.redraw();
    model.set("state", { wired, noise, way, wiring, angles: now, fit });
    model.save_changes();
  }

  wire();
}

/** The squared correlation of being joined, in either direction, with the distance on the circle. */
function explained(wiring, angles) {
  const joined = [], far = [];
  for (let i = 0; i < wiring.length; i++) for (let j = 0; j < i; j++) {
    joined.push(wiring[i][j] || wiring[j][i] ? 1 : 0);
    far.push(Math.abs(wrap(angles[i] - angles[j], 2 * Math.PI)));
  }
  const dot = (a, b) => a.reduce((sum, v, k) => sum + v * b[k], 0);
  const [a, b] = [joined, far].map((list) => {
    const mean = list.reduce((x, y) => x + y) / list.length;
    return list.map((v) => v - mean);
  });
  return dot(a, b) ** 2 / (dot(a, a) * dot(b, b));
}

/** Angles of neurons: each is joined to the four whose rows are most like its own, and the lengths of the shortest ways are laid into the plane as well as they can be. */
function placed(wiring) {
  const n = wiring.length, each = [...wiring.keys()];
  const partners = each.map((i) => new Set(each.filter((j) => i === j || wiring[i][j] || wiring[j][i])));
  const common = (a, b) => [...a].filter((k) => b.has(k)).length / Math.sqrt(a.size * b.size);
  const far = each.map(() => new Float64Array(n).fill(Infinity));
  for (const i of each) {
    far[i][i] = 0;
    const alike = partners.map((other) => common(partners[i], other));
    each.filter((j) => j !== i).sort((a, b) => alike[b] - alike[a]).slice(0, 4).forEach((j) => (far[i][j] = far[j][i] = 1));
  }
  for (const k of each) for (const i of each) {
    const first = far[i][k];
    if (first < Infinity) for (let j = 0; j < n; j++) if (first + far[k][j] < far[i][j]) far[i][j] = first + far[k][j];
  }
  const most = Math.max(...far.flatMap((row) => [...row].filter(Number.isFinite)));
  const square = far.map((row) => row.map((d) => Math.min(d, most + 1) ** 2)), mean = (row) => row.reduce((a, b) => a + b) / n;
  const rows = square.map(mean), all = mean(rows), inner = square.map((row, i) => row.map((d, j) => (rows[i] + rows[j] - d - all) / 2));
  const along = (u, v) => u.reduce((sum, x, k) => sum + x * v[k], 0);
  const axis = (found) => { // the longest at right angles to those found
    const r = random(11);
    let v = Float64Array.from(each, () => normal(r));
    for (let k = 0; k < 80; k++) {
      v = Float64Array.from(inner, (row) => along(row, v));
      for (const u of found) {
        const share = along(u, v);
        v = v.map((x, j) => x - share * u[j]);
      }
      const length = Math.sqrt(along(v, v));
      v = v.map((x) => x / length);
    }
    return v;
  };
  const first = axis([]), second = axis([first]);
  return [...first].map((x, k) => Math.atan2(second[k], x));
}

export default { render };
