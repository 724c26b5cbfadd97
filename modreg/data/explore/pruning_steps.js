// Pruning: the wiring that survives in a trained network, from 0 to 98 % zeros, and the network's error.

function render({ model, el }) {
  const data = model.get("data"), view = frame(el, "How much of the wiring can go before the network is lost, and where on the torus is what stays?");
  const n = data.neurons, levels = data.sparsity.length, places = halves(data.places), weights = halves(data.weights), survived = new Uint8Array(bytes(data.survived));
  const point = (u) => [places[2 * u], places[2 * u + 1]];
  let level = 0, neuron = 0;

  slider(view.controls, "pruning step", [0, levels - 1, 0], 1, (v) => {
    level = v;
    show();
  });
  const pick = slider(view.controls, "neuron", [0, n - 1, 0], 1, (v) => {
    neuron = v;
    show();
  });

  const alive = (u, v) => survived[u * n + v] > level;

  const flat = panel(view.panels, "neurons on the torus with the connections of one", "The torus as a square. Lines lead from the neurons that the star still listens to; click to pick another.", 0.92, (c, width, height, ink) => {
    const { size, left, top, x, y } = plane(width, height, 8, 0, PERIOD);
    c.save();
    c.beginPath();
    c.rect(left, top, size, size);
    c.clip();
    const here = point(neuron);
    for (let v = 0; v < n; v++) {
      if (v === neuron || !alive(neuron, v)) continue;
      const way = MANIFOLDS.torus.difference(point(v), here), there = [here[0] + way[0], here[1] + way[1]];
      for (const [sx, sy] of [[0, 0], [PERIOD, 0], [-PERIOD, 0], [0, PERIOD], [0, -PERIOD]]) {
        line(c, [[x(here[0] + sx), y(here[1] + sy)], [x(there[0] + sx), y(there[1] + sy)]], `${BLUE}88`, 1);
      }
    }
    c.restore();
    for (let v = 0; v < n; v++) dot(c, x(places[2 * v]), y(places[2 * v + 1]), alive(neuron, v) ? 3.4 : 1.5, alive(neuron, v) ? BLUE : "#8889");
    star(c, x(here[0]), y(here[1]), 9, ORANGE);
    c.strokeStyle = ink;
    c.strokeRect(left, top, size, size);
  });
  flat.canvas.addEventListener("pointerdown", (event) => {
    const at = plane(flat.canvas.clientWidth, flat.canvas.clientHeight, 8, 0, PERIOD).back(...pointer(flat.canvas, event));
    neuron = pick.value = [...Array(n).keys()].reduce((a, b) => (MANIFOLDS.torus.distance(point(a), at) < MANIFOLDS.torus.distance(point(b), at) ? a : b));
    show();
  });

  const shares = panel(view.panels, "surviving weights by distance", "Recurrent weights that survive, by the distance of their neurons.", 0.92, (c, width, height, ink) => {
    const bins = 24, far = Math.SQRT1_2 * PERIOD, left = new Float64Array(bins), all = new Float64Array(bins);
    for (let u = 0; u < n; u++) {
      for (let v = 0; v < n; v++) {
        if (u === v) continue;
        const bin = Math.min(bins - 1, Math.floor((apart[u * n + v] / far) * bins));
        all[bin] += 1;
        left[bin] += alive(u, v);
      }
    }
    const top = Math.max(0.02, ...[...left].map((k, b) => k / (all[b] || 1)));
    const to = axes(c, width, height, ink, [0, far], [0, 105 * top], "geodesic distance", "left (%)");
    line(c, [...left].map((k, b) => [to.x(((b + 0.5) * far) / bins), to.y((100 * k) / (all[b] || 1))]), BLUE);
  });
  const errors = panel(view.panels, "position error by share of zeros", "Position error on paths that it has not seen (cm). It learned while it was pruned, so the left end is an untrained network.", 0.92, (c, width, height, ink) => {
    const still = data.limits["standing still"], to = axes(c, width, height, ink, [0, 1], [0, 1.1 * Math.max(still, ...data.error)], "share of zeros", "error (cm)");
    c.setLineDash([3, 3]);
    line(c, [[to.x(0), to.y(still)], [to.x(1), to.y(still)]], "#888", 1);
    c.setLineDash([]);
    c.fillStyle = ink;
    c.textAlign = "left";
    c.fillText("standing still", to.x(0.25), to.y(still) - 4);
    line(c, data.error.map((e, k) => [to.x(data.sparsity[k]), to.y(e)]), BLUE);
    dot(c, to.x(data.sparsity[level]), to.y(data.error[level]), 6, ORANGE);
  });

  const apart = new Float32Array(n * n);
  for (let u = 0; u < n; u++) for (let v = 0; v < n; v++) apart[u * n + v] = MANIFOLDS.torus.distance(point(u), point(v));

  function show() {
    let partners = 0;
    for (let v = 0; v < n; v++) partners += v !== neuron && alive(neuron, v);
    view.says.textContent = `${(100 * data.sparsity[level]).toFixed(0)} % of all weights are zero: error ${data.error[level].toFixed(1)} cm. Neuron ${neuron} listens to ${partners} of ${n - 1} others.`;
    flat.redraw();
    shares.redraw();
    errors.redraw();
    model.set("state", { level, neuron });
    model.save_changes();
  }

  show();
}

export default { render };
