// Sphere, torus and Klein bottle in space, side by side under one cursor: each point's colour is its distance from one neuron, or the price of a connection to it.

function render({ model, el }) {
  const view = frame({ model, el }, "One neuron on three surfaces. How far is every other point of the surface from it?");
  const turn = { yaw: 0.6, pitch: 0.75 }, start = [0.85, 0.3];
  let star_ = [...start], coloured = "distance";

  /** The point of a surface for two numbers from 0 to 1, which go once round it, or from pole to pole. */
  const SURFACES = {
    sphere: { rows: 40, columns: 24, at: (s, t) => [Math.cos(2 * Math.PI * s) * Math.sin(Math.PI * t), Math.sin(2 * Math.PI * s) * Math.sin(Math.PI * t), Math.cos(Math.PI * t)].map((c) => RADIUS * c) },
    torus: { rows: 48, columns: 24, at: (s, t) => [PERIOD * s, PERIOD * t] },
    klein: { rows: 64, columns: 30, at: (s, t) => [PERIOD * s, PERIOD * t] },
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
      for (const [four, , value] of pieces) {
        const [ax, ay, ad] = four[0].map((x, k) => four[2][k] - x), [bx, by, bd] = four[1].map((x, k) => four[3][k] - x), size = Math.min(width, height) * 0.47;
        const normal_ = [ay * bd - ad * by, ad * bx - ax * bd, (ax * by - ay * bx) / size], steep = Math.abs(normal_[2]) / (Math.hypot(...normal_) || 1);
        c.fillStyle = c.strokeStyle = shaded(colour(value), 0.55 + 0.45 * steep);
        c.lineWidth = 0.7;
        c.beginPath();
        four.forEach(([x, y], k) => (k ? c.lineTo(x, y) : c.moveTo(x, y)));
        c.closePath();
        c.fill();
        c.stroke();
      }
      const [x, y] = project(MANIFOLDS[name].place(surface.at(...star_)), width, height);
      star(c, x, y, 11, "#fff");
      star(c, x, y, 8, ORANGE);
    }, "third");
    const project = turning(made.canvas, draw, turn);
    return made;
  });

  /** A colour, made darker. */
  function shaded(text, light) {
    return `rgb(${text.match(/\d+/g).map((c) => Math.round(c * light)).join(",")})`;
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
