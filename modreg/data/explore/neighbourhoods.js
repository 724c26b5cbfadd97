// Geodesic neighbourhoods: pick a neuron on a manifold; who is near, who is inhibited, and how its row of weights would look.

function render({ model, el }) {
  const view = frame({ model, el }, "Pick a neuron. Which others may it keep a connection to?");
  const count = 700;
  let manifold = "torus", inhibitor = "difference_of_gaussians", neuron = 0, points = [], places = [], apart = [], cost = [], drawn = [];

  choice(view.controls, "manifold", Object.fromEntries(Object.entries(MANIFOLDS).map(([k, m]) => [k, m.label])), manifold, (v) => {
    manifold = v;
    sample();
    show();
  });
  choice(view.controls, "inhibitor", Object.fromEntries(Object.entries(INHIBITORS).map(([k, f]) => [k, f.label])), inhibitor, (v) => {
    inhibitor = v;
    show();
  });
  const pick = slider(view.controls, "neuron", [0, count - 1, 0], 1, (v) => {
    neuron = v;
    show();
  });

  function sample() {
    const r = random(1);
    points = Array.from({ length: count }, () => MANIFOLDS[manifold].sample(r));
    places = points.map(MANIFOLDS[manifold].place);
  }

  /** Distances from the neuron, and the prices of its connections; turning the view leaves them as they are. */
  function measure() {
    const { value } = INHIBITORS[inhibitor], parameters = defaults(INHIBITORS[inhibitor]);
    apart = points.map((p) => MANIFOLDS[manifold].distance(points[neuron], p));
    cost = apart.map((d) => Math.max(0, value(d, parameters)));
  }

  const space = panel(view.panels, "neurons on the manifold; drag or use the arrow keys to turn, click to pick", "Drag to turn, click to pick. The star is the neuron; dark neurons are cheap for it, yellow ones dear.", 0.9, (c, width, height, ink) => {
    const top = Math.max(...cost) || 1;
    drawn = places.map((p, k) => [...project(p, width, height), k]).sort((a, b) => a[2] - b[2]);
    for (const [x, y, deep, k] of drawn) {
      if (k !== neuron) dot(c, x, y, 3.2 + 1.4 * deep, colour(cost[k] / top));
    }
    const [x, y] = drawn.find((d) => d[3] === neuron);
    star(c, x, y, 10, ORANGE);
  });
  let turned = 0;
  const project = turning(space.canvas, () => {
    turned += 1;
    space.redraw();
  });
  space.canvas.addEventListener("pointerdown", () => (turned = 0));
  space.canvas.addEventListener("pointerup", (event) => {
    if (turned > 2) return;
    const [x, y] = pointer(space.canvas, event), width = space.canvas.clientWidth, height = space.canvas.clientHeight;
    const [near] = [...drawn].sort((a, b) => Math.hypot(a[0] - x * width, a[1] - y * height) - a[2] * 4 - Math.hypot(b[0] - x * width, b[1] - y * height) + b[2] * 4);
    neuron = pick.value = near[3];
    show();
  });

  const row = panel(view.panels, "what is left of the neuron's weights, by distance", "What the penalty leaves of its row of weights: random weights, each shrunk by its own price, by distance.", 0.9, (c, width, height, ink) => {
    const r = random(neuron + 7), mean = cost.reduce((a, b) => a + b, 0) / count;
    const far = Math.max(...apart), weights = cost.map((p) => {
      const w = normal(r);
      return Math.sign(w) * Math.max(0, Math.abs(w) - (1.5 * p) / mean);
    });
    const to = axes(c, width, height, ink, [0, far], [-3, 3], "geodesic distance", "weight");
    weights.forEach((w, k) => {
      if (k !== neuron) dot(c, to.x(apart[k]), to.y(clamp(w, -3, 3)), w ? 2.6 : 1.2, w ? colour(0.5 + w / 5, PURPLE_ORANGE) : ink, w ? "#6668" : null);
    });
  });

  function show() {
    measure();
    const top = Math.max(...cost);
    const cheap = apart.filter((d, k) => k !== neuron && cost[k] < top / 4);
    const range = cheap.length ? `, between ${Math.min(...cheap).toFixed(1)} and ${Math.max(...cheap).toFixed(1)} away` : "";
    view.says.textContent = `Neuron ${neuron} on the ${MANIFOLDS[manifold].label}: ${cheap.length} of ${count - 1} others cost less than a quarter of the dearest${range}.`;
    space.redraw();
    row.redraw();
    model.set("state", { manifold, inhibitor, neuron });
    model.save_changes();
  }

  sample();
  show();
}

export default { render };
