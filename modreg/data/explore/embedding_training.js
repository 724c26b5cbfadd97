// Training an embedding: neurons on the torus move down the gradient of the penalty, under an inhibitor of choice.

function render({ model, el }) {
  const view = frame({ model, el }, "Let the neurons move to lower the bill. Will they spread, clump, or all meet?");
  const count = 60, r0 = random(5), weights = Array.from({ length: count * count }, () => Math.abs(normal(r0)) ** 3);
  let inhibitor = "difference_of_gaussians", step = 0, points = [], history = [], timer = null;

  choice(view.controls, "inhibitor", Object.fromEntries(Object.entries(INHIBITORS).map(([k, f]) => [k, f.label])), inhibitor, (v) => {
    inhibitor = v;
    begin();
  });
  const play = button(view.controls, "Train", () => {
    if (timer) return pause();
    play.textContent = "Pause";
    timer = setInterval(() => {
      if (!view.root.isConnected || step >= 400) return pause();
      advance(2);
    }, 40);
  });
  button(view.controls, "20 steps", () => advance(20));

  function pause() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Train";
  }

  function begin() {
    pause();
    const r = random(2);
    points = Array.from({ length: count }, () => square(r));
    history = [spread()];
    step = 0;
    show();
  }

  /** Mean distance of two neurons, and the mean price. */
  function spread() {
    let apart = 0, bill = 0, total = 0;
    const p = defaults(INHIBITORS[inhibitor]);
    for (let u = 0; u < count; u++) {
      for (let v = 0; v < u; v++) {
        const d = MANIFOLDS.torus.distance(points[u], points[v]), w = weights[u * count + v] + weights[v * count + u];
        apart += d;
        bill += w * INHIBITORS[inhibitor].value(d, p);
        total += w;
      }
    }
    return [(2 * apart) / (count * (count - 1)), bill / total];
  }

  function advance(steps) {
    const p = defaults(INHIBITORS[inhibitor]), f = INHIBITORS[inhibitor].value, h = 1e-3;
    for (let s = 0; s < steps; s++) {
      const force = points.map(() => [0, 0]);
      for (let u = 0; u < count; u++) {
        for (let v = 0; v < u; v++) {
          const way = MANIFOLDS.torus.difference(points[u], points[v]), d = Math.hypot(...way);
          if (d < 1e-6) continue;
          const slope = (f(d + h, p) - f(Math.max(0, d - h), p)) / (d + h - Math.max(0, d - h));
          const pull = (slope * (weights[u * count + v] + weights[v * count + u])) / d;
          for (const k of [0, 1]) {
            force[u][k] -= pull * way[k];
            force[v][k] += pull * way[k];
          }
        }
      }
      const largest = Math.max(1e-9, ...force.map((g) => Math.hypot(...g))), rate = Math.min(0.12 / largest, 0.0006);
      points = points.map((q, u) => q.map((c, k) => mod(c + rate * force[u][k], PERIOD)));
      step += 1;
      history.push(spread());
    }
    show();
  }

  const where = panel(view.panels, "neurons on the torus", "Sixty neurons on the torus (a square with opposite edges glued), with random weights between them.", 0.92, (c, width, height, ink) => {
    const { size, left, top, x, y } = plane(width, height, 8, 0, PERIOD);
    c.strokeStyle = ink;
    c.strokeRect(left, top, size, size);
    points.forEach((p) => dot(c, x(p[0]), y(p[1]), 4, BLUE, "#fff8"));
  });
  const curve = panel(view.panels, "mean distance of two neurons over steps", "Mean distance of two neurons.", 0.92, (c, width, height, ink) => {
    const to = axes(c, width, height, ink, [0, Math.max(40, step)], [0, 5], "step", "mean distance");
    line(c, history.map(([d], k) => [to.x(k), to.y(d)]), BLUE);
  });

  function show() {
    const [apart, bill] = history.at(-1), warning = collapse(INHIBITORS[inhibitor]);
    view.says.replaceChildren();
    element(view.says, "span", {}, `Step ${step}: mean distance ${apart.toFixed(2)}, mean price ${bill.toFixed(2)}. `);
    if (warning && step) element(view.says, "span", { class: "warning" }, warning);
    where.redraw();
    curve.redraw();
    model.set("state", { inhibitor, step, distance: apart });
    model.save_changes();
  }

  begin();
}

export default { render };
