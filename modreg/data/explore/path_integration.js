// Path integration: draw a path; the trained network runs in the page and says where it believes to be.

function render({ model, el }) {
  const data = model.get("data"), view = frame({ model, el }, "Draw a path in the box. How far does the network follow you before it is lost?");
  const n = data.neurons, p = data.cells, box = 2.2, stride = data.speed * data.dt * 1.25;
  const centres = new Float32Array(bytes(data.centres)), encoder = halves(data["encoder.weight"]), inputs = halves(data["rnn.weight_ih_l0"]);
  const recurrent = halves(data["rnn.weight_hh_l0"]), decoder = halves(data["decoder.weight"]);
  let path = [], said = [], state = null, hand = [0, 0];

  button(view.controls, "Draw a loop for me", () => {
    begin([-0.35, 0]);
    for (let k = 1; k <= 120; k++) walk([-0.35 * Math.cos((k * Math.PI) / 60), 0.35 * Math.sin((k * Math.PI) / 60)]);
    show();
  });

  /** y = W x for W (rows, columns), added to y. */
  function product(weights, x, y) {
    for (let i = 0; i < y.length; i++) {
      let sum = 0;
      for (let j = 0, at = i * x.length; j < x.length; j++, at++) sum += weights[at] * x[j];
      y[i] += sum;
    }
    return y;
  }

  /** Activity of the place cells at a spot: a difference of two softmaxes, shifted and normalized. */
  function activity(spot) {
    const squares = Array.from({ length: p }, (_, i) => (centres[2 * i] - spot[0]) ** 2 + (centres[2 * i + 1] - spot[1]) ** 2);
    const softmax = (scale) => {
      const least = Math.min(...squares), e = squares.map((s) => Math.exp((least - s) * scale)), total = e.reduce((a, b) => a + b);
      return e.map((v) => v / total);
    };
    const narrow = softmax(1 / (2 * 0.12 ** 2)), wide = softmax(1 / (4 * 0.12 ** 2)), raw = narrow.map((v, i) => v - wide[i]);
    const least = Math.min(...raw), total = raw.reduce((a, b) => a + b - least, 0);
    return Float32Array.from(raw, (v) => (v - least) / total);
  }

  /** Mean of the centres of the three cells with the highest scores. */
  function decode(scores) {
    const top = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, 3);
    return [0, 1].map((k) => top.reduce((sum, i) => sum + centres[2 * i + k] / 3, 0));
  }

  function begin(spot) {
    path = [spot];
    hand = spot;
    state = product(encoder, activity(spot).map((v) => v * data.scales[0]), new Float32Array(n));
    said = [];
    show();
  }

  /** Walk straight to a spot, in strides as long as those that the network was trained on. */
  function walk(spot) {
    spot = spot.map((c) => clamp(c, -box / 2, box / 2));
    const from = path.at(-1), way = [spot[0] - from[0], spot[1] - from[1]], strides = Math.floor(Math.hypot(...way) / stride);
    for (let k = 1; k <= strides && path.length <= 600; k++) {
      const move = way.map((c) => (c / Math.hypot(...way)) * stride);
      path.push([path.at(-1)[0] + move[0], path.at(-1)[1] + move[1]]);
      const next = product(inputs, move.map((c) => c * data.scales[1]), product(recurrent, state, new Float32Array(n)));
      state = next.map((v) => Math.max(0, v));
      said.push(decode(product(decoder, state, new Float32Array(p))));
    }
    hand = path.at(-1);
  }

  const field = panel(view.panels, "box to draw in; drag, or use the arrow keys", "Draw with the mouse, a finger, or the arrow keys. Blue: your path. Orange: where the network believes to be.", 0.75, (c, width, height, ink) => {
    const { size, left, top, x, y } = plane(width, height, 8, -box / 2, box / 2);
    c.strokeStyle = ink;
    c.strokeRect(left, top, size, size);
    for (let i = 0; i < p; i++) dot(c, x(centres[2 * i]), y(centres[2 * i + 1]), 1.2, "#8888");
    line(c, path.map((q) => [x(q[0]), y(q[1])]), BLUE, 2.5);
    said.forEach((q, k) => dot(c, x(q[0]), y(q[1]), 2.6, `rgba(217,95,2,${0.35 + (0.65 * k) / said.length})`));
    if (path.length) dot(c, x(path[0][0]), y(path[0][1]), 5, ink);
  });
  const spot = (px, py) => plane(field.canvas.clientWidth, field.canvas.clientHeight, 8, -box / 2, box / 2).back(px, py);
  drag(field.canvas, (px, py, event) => {
    if (event.type === "pointerdown") begin(spot(px, py).map((c) => clamp(c, -box / 2, box / 2)));
    else walk(spot(px, py));
    show();
  });
  arrows(field.canvas, (dx, dy) => {
    walk([hand[0] + 0.06 * dx, hand[1] + 0.06 * dy]);
    show();
  });

  const wrong = panel(view.panels, "error over steps", "Distance between the two (cm), step by step. The dotted line is how long its training paths were.", 0.75, (c, width, height, ink) => {
    const errors = said.map((q, k) => 100 * Math.hypot(q[0] - path[k + 1][0], q[1] - path[k + 1][1]));
    const to = axes(c, width, height, ink, [0, Math.max(100, said.length)], [0, Math.max(30, ...errors)], "step", "error (cm)");
    c.setLineDash([3, 3]);
    line(c, [[to.x(data.steps), to.y(0)], [to.x(data.steps), 8]], "#888", 1);
    c.setLineDash([]);
    line(c, errors.map((e, k) => [to.x(k + 1), to.y(e)]), ORANGE);
  });

  function show() {
    const q = said.at(-1), error = q ? 100 * Math.hypot(q[0] - path.at(-1)[0], q[1] - path.at(-1)[1]) : 0;
    view.says.textContent = q
      ? `${said.length} steps: it is ${error.toFixed(0)} cm off. On paths like its training's, of ${data.steps} steps, it is ${data.error.toFixed(0)} cm off on average; standing still would be ${data.limits["standing still"].toFixed(0)}.`
      : "It knows where the path begins, and from then on only how you move.";
    field.redraw();
    wrong.redraw();
    model.set("state", { steps: said.length, error });
    model.save_changes();
  }

  begin([0, 0]);
}

export default { render };
