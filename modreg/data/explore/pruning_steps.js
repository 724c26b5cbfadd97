// Pruning: the wiring that survives in networks trained under several penalties, side by side under one cursor, and their errors.

function render({ model, el }) {
  const data = model.get("data"), view = frame({ model, el }, "How much of the wiring can go before a network is lost, and where on the torus is what stays?");
  const n = data.neurons, levels = data.sparsity.length, places = typeof data.places === "string" ? halves(data.places) : data.places.flat(), names = Object.keys(data.networks);
  const counts = (x) => (typeof x === "string" ? new Uint8Array(bytes(x)) : Uint8Array.from(x.flat())); // bytes of what is stored, or lists from a notebook
  const survived = names.map((name) => counts(data.networks[name].survived)), COLOURS = [BLUE, ORANGE, "#7570b3"];
  const point = (u) => [places[2 * u], places[2 * u + 1]];
  const alive = (k, u, v) => u !== v && survived[k][u * n + v] > level;
  const partnersOf = (k, u) => [...Array(n).keys()].filter((v) => alive(k, u, v));
  let level = Math.round(0.9 * (levels - 1)), neuron = 0, most = -1;
  for (let u = 0; u < n; u++) {
    // It opens on a neuron that has partners in every network.
    const fewest = Math.min(...names.map((_, k) => partnersOf(k, u).length));
    if (fewest > most) [neuron, most] = [u, fewest];
  }

  slider(view.controls, "pruning step", [0, levels - 1, level], 1, (v) => {
    level = v;
    show();
  });
  const pick = slider(view.controls, "neuron", [0, n - 1, neuron], 1, (v) => {
    neuron = v;
    show();
  });

  const squares = element(view.root, "div", { class: "panels" });
  view.panels.before(squares);
  const flats = names.map((name, k) => {
    const flat = panel(squares, `${name}: neurons on the torus with the connections of one`, `${name}`, 1, (c, width, height, ink) => {
      const { size, left, top, x, y } = plane(width, height, 8, 0, PERIOD), here = point(neuron);
      c.save();
      c.beginPath();
      c.rect(left, top, size, size);
      c.clip();
      for (let v = 0; v < n; v++) {
        if (!alive(k, neuron, v)) continue;
        const way = MANIFOLDS.torus.difference(point(v), here), there = [here[0] + way[0], here[1] + way[1]];
        for (const [sx, sy] of [[0, 0], [PERIOD, 0], [-PERIOD, 0], [0, PERIOD], [0, -PERIOD]]) {
          line(c, [[x(here[0] + sx), y(here[1] + sy)], [x(there[0] + sx), y(there[1] + sy)]], `${COLOURS[k]}88`, 1);
        }
      }
      c.restore();
      for (let v = 0; v < n; v++) dot(c, x(places[2 * v]), y(places[2 * v + 1]), alive(k, neuron, v) ? 3.4 : 1.5, alive(k, neuron, v) ? COLOURS[k] : "#8889");
      star(c, x(here[0]), y(here[1]), 9, ink);
      c.strokeStyle = ink;
      c.strokeRect(left, top, size, size);
    }, "small");
    flat.canvas.addEventListener("pointerdown", (event) => {
      const at = plane(flat.canvas.clientWidth, flat.canvas.clientHeight, 8, 0, PERIOD).back(...pointer(flat.canvas, event));
      neuron = pick.value = [...Array(n).keys()].reduce((a, b) => (MANIFOLDS.torus.distance(point(a), at) < MANIFOLDS.torus.distance(point(b), at) ? a : b));
      show();
    });
    arrows(flat.canvas, (dx, dy) => {
      neuron = pick.value = (neuron + (dx || dy) + n) % n;
      show();
    });
    return flat;
  });

  /** Share (%) of the weights of each length that are left, for each network; the lengths are the same in all. */
  const bins = 24, far = Math.SQRT1_2 * PERIOD, bin = new Uint8Array(n * n), all = new Float64Array(bins);
  for (let u = 0; u < n; u++) {
    for (let v = 0; v < n; v++) {
      bin[u * n + v] = Math.min(bins - 1, Math.floor((MANIFOLDS.torus.distance(point(u), point(v)) / far) * bins));
      if (u !== v) all[bin[u * n + v]] += 1;
    }
  }
  function left(k) {
    const found = new Float64Array(bins);
    for (let u = 0; u < n; u++) for (let v = 0; v < n; v++) found[bin[u * n + v]] += alive(k, u, v);
    return [...found].map((c, b) => (100 * c) / (all[b] || 1));
  }

  const shares = panel(view.panels, "surviving weights by distance", "Recurrent weights that survive, by the distance of their neurons.", 0.7, (c, width, height, ink) => {
    const curves = names.map((_, k) => left(k)), to = axes(c, width, height, ink, [0, far], [0, 1.05 * Math.max(2, ...curves.flat())], "geodesic distance", "left (%)");
    curves.forEach((curve, k) => line(c, curve.map((share, b) => [to.x(((b + 0.5) * far) / bins), to.y(share)]), COLOURS[k]));
  });
  const errors = panel(view.panels, "error by share of zeros", `Error (${data.unit}) on data that it has not seen. Networks learned while they were pruned, so at the left end they have hardly begun.`, 0.7, (c, width, height, ink) => {
    const curves = names.map((name) => data.networks[name].error), [[limit, still]] = Object.entries(data.limits);
    const to = axes(c, width, height, ink, [0, 1], [0, 1.1 * Math.max(still, ...curves.flat())], "share of zeros", `error (${data.unit})`);
    c.setLineDash([3, 3]);
    line(c, [[to.x(0), to.y(still)], [to.x(1), to.y(still)]], "#888", 1);
    line(c, [[to.x(data.sparsity[level]), to.y(0)], [to.x(data.sparsity[level]), 8]], ink, 1);
    c.setLineDash([]);
    c.fillStyle = ink;
    c.textAlign = "left";
    c.fillText(limit, to.x(0.25), to.y(still) - 4);
    curves.forEach((curve, k) => {
      line(c, curve.map((e, s) => [to.x(data.sparsity[s]), to.y(e)]), COLOURS[k]);
      dot(c, to.x(data.sparsity[level]), to.y(curve[level]), 5, COLOURS[k]);
    });
  });

  function show() {
    const near = names.map((name, k) => {
      const partners = partnersOf(k, neuron), free = partners.filter((v) => Math.abs(MANIFOLDS.torus.distance(point(neuron), point(v)) - 0.9) < 0.9);
      return { name, error: data.networks[name].error[level], partners: partners.length, near: free.length };
    });
    const digits = data.unit === "cm" ? 1 : 2;
    flats.forEach((flat, k) => {
      flat.canvas.nextSibling.replaceChildren();
      element(flat.canvas.nextSibling, "b", { style: `color: ${COLOURS[k]}` }, near[k].name);
      flat.canvas.nextSibling.append(`: ${near[k].partners} partners, ${near[k].near} of them less than 1.8 away`);
    });
    view.says.textContent = `${(100 * data.sparsity[level]).toFixed(0)} % of all weights are zero. Error ${near.map((one) => `${one.error.toFixed(digits)} (${one.name})`).join(", ")}. The star is neuron ${neuron}; lines lead from those that it still listens to.`;
    for (const drawn of [...flats, shares, errors]) drawn.redraw();
    model.set("state", { level, neuron, partners: near });
    model.save_changes();
  }

  show();
}

export default { render };
