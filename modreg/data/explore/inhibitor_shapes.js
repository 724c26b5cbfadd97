// Inhibitor shapes: the price of a connection by its length, and the matrix of prices that it makes of neurons on a circle.

function render({ model, el }) {
  const view = frame({ model, el }, "Which connections will this inhibitor leave alone, and may the neurons move under it?");
  const neurons = 48, circumference = 20;
  let name = "difference_of_gaussians", parameters = defaults(INHIBITORS[name]), sliders = [];

  choice(view.controls, "inhibitor", Object.fromEntries(Object.entries(INHIBITORS).map(([k, f]) => [k, f.label])), name, (chosen) => {
    name = chosen;
    parameters = defaults(INHIBITORS[name]);
    controls();
    show();
  });

  function controls() {
    sliders.forEach((label) => label.remove());
    const before = new Set(view.controls.children);
    for (const [key, [min, max]] of Object.entries(INHIBITORS[name].parameters)) {
      slider(view.controls, key, [min, max, parameters[key]], (max - min) / 100, (v) => {
        parameters[key] = v;
        show();
      });
    }
    sliders = [...view.controls.children].filter((child) => !before.has(child));
  }

  const price = (d) => Math.max(0, INHIBITORS[name].value(d, parameters));
  const prices = () => Array.from({ length: 141 }, (_, k) => [k / 20, price(k / 20)]);

  const curve = panel(view.panels, "price of a connection against geodesic distance", "Price f(d) against geodesic distance d.", 0.72, (c, width, height, ink) => {
    const points = prices(), top = Math.max(...points.map((p) => p[1])) || 1;
    const to = axes(c, width, height, ink, [0, 7], [0, 1.05 * top], "geodesic distance", "price");
    line(c, points.map(([d, f]) => [to.x(d), to.y(f)]), BLUE);
    const cheapest = INHIBITORS[name].cheapest?.(parameters);
    if (cheapest) dot(c, to.x(cheapest), to.y(price(cheapest)), 5, ORANGE);
  });

  const matrix = panel(view.panels, "matrix of coefficients", `Prices of all weights between ${neurons} neurons, evenly spaced on a circle. Dark is free.`, 0.72, (c, width, height) => {
    const top = Math.max(...prices().map((p) => p[1])) || 1, size = Math.min(width, height - 4), cell = size / neurons, left = (width - size) / 2;
    for (let u = 0; u < neurons; u++) {
      for (let v = 0; v < neurons; v++) {
        c.fillStyle = colour(price(Math.abs(wrap(((u - v) * circumference) / neurons, circumference))) / top);
        c.fillRect(left + v * cell, u * cell, cell + 0.5, cell + 0.5);
      }
    }
  });

  function show() {
    const inhibitor = INHIBITORS[name], warning = collapse(inhibitor);
    view.says.replaceChildren();
    element(view.says, "span").innerHTML = `${inhibitor.formula}. &ensp;`;
    if (name === "sinusoid") element(view.says, "span", { class: "warning" }, "Cheap at distance 1.57, and again at every further turn. ");
    else if (warning) element(view.says, "span", { class: "warning" }, warning);
    else element(view.says, "span", {}, `Distance ${inhibitor.cheapest(parameters).toFixed(2)} is free: neurons keep a ring of partners, and an embedding may be trained.`);
    curve.redraw();
    matrix.redraw();
    model.set("state", { inhibitor: name, ...parameters });
    model.save_changes();
  }

  controls();
  show();
}

export default { render };
