// Sphere, torus and Klein bottle in space, side by side under one cursor: each point's colour is its distance from one neuron, or the price of a connection to it.

function render({ model, el }) {
  const view = frame({ model, el }, "One neuron on three surfaces. How far is every other point of the surface from it?");
  const turn = { yaw: 0.6, pitch: 0.75 }, start = [0.85, 0.3];
  let star_ = [...start], coloured = "distance";

  /** The point of a surface for two numbers from 0 to 1, which go once round it, or from pole to pole. */
  const SURFACES = {
    sphere: { rows: 28, columns: 16, at: (s, t) => [Math.cos(2 * Math.PI * s) * Math.sin(Math.PI * t), Math.sin(2 * Math.PI * s) * Math.sin(Math.PI * t), Math.cos(Math.PI * t)].map((c) => RADIUS * c) },
    torus: { rows: 36, columns: 18, at: (s, t) => [PERIOD * s, PERIOD * t] },
    klein: { rows: 48, columns: 20, at: (s, t) => [PERIOD * s, PERIOD * t] },
  };
  for (const [name, surface] of Object.entries(SURFACES)) {
    const { rows, columns, at } = surface;
    surface.corners = Array.from({ length: rows + 1 }, (_, i) => Array.from({ length: columns + 1 }, (_, j) => MANIFOLDS[name].place(at(i / rows, j / columns))));
    surface.middles = Array.from({ length: rows * columns }, (_, k) => at((Math.floor(k / columns) + 0.5) / rows, ((k % columns) + 0.5) / columns));
  }

  const controls = ["along", "across"].map((name, k) => slider(view.controls, name, [0, 0.99, start[k]], 0.01, (v) => {
    star_[k] = v;
    show();
  }));
  slider(view.controls, "turn", [-180, 180, Math.round((turn.yaw * 180) / Math.PI)], 1, (v) => {
    turn.yaw = (v * Math.PI) / 180;
    draw();
  });
  choice(view.controls, "colour", { distance: "distance", price: "price (difference of Gaussians)" }, coloured, (v) => {
    coloured = v;
    show();
  });

  const price = (d) => INHIBITORS.difference_of_gaussians.value(d, defaults(INHIBITORS.difference_of_gaussians));
  const panels = Object.entries(SURFACES).map(([name, surface]) => {
    const label = MANIFOLDS[name].label;
    const made = panel(view.panels, `the ${label} in space, coloured by ${coloured} from a star; drag or use the arrow keys to turn all three`, label, 0.95, (c, width, height, ink) => {
      const { rows, columns, corners, values } = surface, top = Math.max(...values), seen = corners.map((row) => row.map((p) => project(p, width, height)));
      const pieces = values.map((value, k) => {
        const i = Math.floor(k / columns), j = k % columns, four = [seen[i][j], seen[i + 1][j], seen[i + 1][j + 1], seen[i][j + 1]];
        return [four, four.reduce((sum, p) => sum + p[2], 0), value / top];
      }).sort((a, b) => a[1] - b[1]);
      const size = Math.min(width, height) * 0.47;
      for (const [[p, q, r, s], , value] of pieces) {
        const ax = r[0] - p[0], ay = r[1] - p[1], ad = size * (r[2] - p[2]), bx = s[0] - q[0], by = s[1] - q[1], bd = size * (s[2] - q[2]); // its diagonals
        const flat = ax * by - ay * bx, light = 0.55 + 0.45 * Math.abs(flat) / (Math.hypot(ay * bd - ad * by, ad * bx - ax * bd, flat) || 1);
        const mx = (p[0] + q[0] + r[0] + s[0]) / 4, my = (p[1] + q[1] + r[1] + s[1]) / 4, grow = 1.06; // so that no seam shows
        c.fillStyle = shaded(value, light);
        c.beginPath();
        c.moveTo(mx + grow * (p[0] - mx), my + grow * (p[1] - my));
        c.lineTo(mx + grow * (q[0] - mx), my + grow * (q[1] - my));
        c.lineTo(mx + grow * (r[0] - mx), my + grow * (r[1] - my));
        c.lineTo(mx + grow * (s[0] - mx), my + grow * (s[1] - my));
        c.fill();
      }
      const [x, y] = project(MANIFOLDS[name].place(surface.at(...star_)), width, height);
      star(c, x, y, 11, "#fff");
      star(c, x, y, 8, ORANGE);
    }, "third");
    const project = turning(made.canvas, draw, turn);
    return made;
  });

  /** The colour at t in [0, 1], made darker. */
  function shaded(t, light) {
    const x = clamp(t, 0, 1) * (VIRIDIS.length - 1), k = Math.min(VIRIDIS.length - 2, Math.floor(x));
    return `rgb(${VIRIDIS[k].map((from, i) => Math.round(light * (from + (x - k) * (VIRIDIS[k + 1][i] - from)))).join(",")})`;
  }

  function draw() {
    panels.forEach((made) => made.redraw());
    model.set("state", { along: star_[0], across: star_[1], colour: coloured, yaw: turn.yaw, pitch: turn.pitch, farthest: Object.fromEntries(Object.entries(SURFACES).map(([name, s]) => [name, s.farthest])) });
    model.save_changes();
  }

  function show() {
    for (const [name, surface] of Object.entries(SURFACES)) {
      const here = surface.at(...star_), far = surface.middles.map((p) => MANIFOLDS[name].distance(p, here));
      surface.farthest = Math.max(...far);
      surface.values = coloured === "price" ? far.map(price) : far;
    }
    panels.forEach((made, k) => made.canvas.setAttribute("aria-label", `the ${MANIFOLDS[Object.keys(SURFACES)[k]].label} in space, coloured by ${coloured} from a star; drag or use the arrow keys to turn all three`));
    const said = Object.entries(SURFACES).map(([name, s]) => `${s.farthest.toFixed(1)} on the ${MANIFOLDS[name].label}`).join(", ");
    view.says.textContent = coloured === "price"
      ? "Dark is cheap: round the star there is a ring of points to which a connection costs nothing. Drag to turn."
      : `Dark is near, yellow far. The farthest point is ${said}. Drag to turn.`;
    draw();
  }

  show();
}

export default { render };
