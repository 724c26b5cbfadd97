// The line winds up on the circle, the plane on the torus and on the Klein bottle: a walk above, and the same walk below.

function render({ model, el }) {
  const view = frame({ model, el }, "Walk once round. Are you back, and the same way up?");
  const LOW = -PERIOD, HIGH = 2 * PERIOD, SURFACES = { torus: "torus", klein: "Klein bottle", circle: "circle" };
  let surface = "torus", rolled = 0.15, at = [-7, 3], trail = [at], moving = 0;

  choice(view.controls, "base", SURFACES, surface, (v) => {
    surface = v;
    begin(home(at));
  });
  const roll = slider(view.controls, "rolled up (%)", [0, 100, 100 * rolled], 1, (v) => {
    cancelAnimationFrame(moving);
    rolled = v / 100;
    show();
  });
  button(view.controls, "Roll up", () => {
    cancelAnimationFrame(moving);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    let done = still ? 100 : 0;
    const turn = () => {
      roll.value = done;
      rolled = done / 100;
      show();
      if (done < 100) moving = requestAnimationFrame(turn);
      done += 1;
    };
    turn();
  });
  button(view.controls, "Once round", () => {
    if (at[0] + PERIOD > HIGH) trail = trail.map(([x, y]) => [x - 2 * PERIOD, y]); // a deck transformation of all three
    at = trail.at(-1);
    for (let k = 0; k < 20; k++) walk(PERIOD / 20, 0);
  });

  /** How often a place has been carried to the side of the first square. */
  const turns = ([x]) => Math.floor(x / PERIOD);
  const flips = (i) => surface === "klein" && i % 2 !== 0;
  /** The covering map: the one place in the first square that stands for this one. */
  const home = ([x, y]) => [mod(x, PERIOD), mod(flips(turns([x])) ? -y : y, PERIOD)];
  /** The deck transformation that carries the first square by i to the side and j up. */
  const carry = ([x, y], i, j) => [x + i * PERIOD, (flips(i) ? PERIOD - y : y) + j * PERIOD];

  function* copies(point) {
    const first = home(point), line = surface === "circle";
    for (let i = -1; i <= 1; i++) for (let j = line ? 0 : -1; j <= (line ? 0 : 1); j++) yield carry(first, i, j);
  }
  function begin(point) {
    at = surface === "circle" ? [point[0], PERIOD / 2] : point;
    trail = [at];
    show();
  }
  function walk(dx, dy) {
    at = [clamp(at[0] + dx, LOW, HIGH), surface === "circle" ? PERIOD / 2 : clamp(at[1] + dy, LOW, HIGH)];
    trail.push(at);
    if (trail.length > 400) trail.shift();
    show();
  }

  const sheet = panel(view.panels, "the covering space, cut into squares; drag the walker or use the arrow keys", "Above: the line or the plane. Orange: the walker and its way. Blue: all places that are the same place below.", 0.92, (c, width, height, ink) => {
    const { size, left, top, x, y } = plane(width, height, 8, LOW, HIGH);
    c.strokeStyle = "#8888";
    c.lineWidth = 1;
    if (surface === "circle") {
      line(c, [[left, y(5)], [left + size, y(5)]], ink, 1.5);
      for (let i = 0; i <= 3; i++) line(c, [[x(LOW + i * PERIOD), y(6)], [x(LOW + i * PERIOD), y(4)]], ink, 1.5);
    } else {
      for (let i = 0; i <= 3; i++) {
        line(c, [[x(LOW + i * PERIOD), top], [x(LOW + i * PERIOD), top + size]], "#888", 1);
        line(c, [[left, y(LOW + i * PERIOD)], [left + size, y(LOW + i * PERIOD)]], "#888", 1);
      }
      const letter = [[[4, 2.5], [4, 7.5], [6.5, 7.5]], [[4, 5.2], [6, 5.2]]]; // an F, which shows when it is turned over
      for (let i = -1; i <= 1; i++) for (let j = -1; j <= 1; j++) for (const stroke of letter) line(c, stroke.map((p) => carry(p, i, j)).map((p) => [x(p[0]), y(p[1])]), "#8888", 4);
    }
    c.save();
    c.beginPath();
    c.rect(left, top, size, size);
    c.clip();
    line(c, trail.map((p) => [x(p[0]), y(p[1])]), ORANGE, 2.5);
    dot(c, x(trail[0][0]), y(trail[0][1]), 3, ink);
    c.restore();
    for (const p of copies(at)) dot(c, x(p[0]), y(p[1]), 4.5, null, BLUE);
    star(c, x(at[0]), y(at[1]), 8, ORANGE);
  });
  drag(sheet.canvas, (px, py, event) => {
    const [x, y] = plane(sheet.canvas.clientWidth, sheet.canvas.clientHeight, 8, LOW, HIGH).back(px, py);
    if (event.type === "pointerdown") begin([clamp(x, LOW, HIGH), clamp(y, LOW, HIGH)]);
    else walk(x - at[0], y - at[1]);
  });
  arrows(sheet.canvas, (dx, dy) => walk(0.25 * dx, 0.25 * dy));

  /** Where a place of the covering space is drawn: flat at first, on what it covers when all is rolled up. */
  function place([x, y]) {
    if (surface === "circle") {
      const a = (2 * Math.PI * Math.max(rolled, 1e-3)) / PERIOD, s = (x - PERIOD / 2) * a, r = 1 / a / 15 / (0.4 + 0.6 * (1 - rolled));
      return [r * Math.sin(s), r * (Math.cos(s) - 1) + r * rolled, (0.5 * (1 - rolled) * (x - PERIOD / 2)) / 15];
    }
    const flat = [(x - 5) / 16, (y - 5) / 16, 0], below = MANIFOLDS[surface].place(home([x, y]));
    return flat.map((v, k) => (1 - rolled) * v + rolled * below[k]);
  }
  const solid = panel(view.panels, "the covering space while it is rolled up; drag or use the arrow keys to turn", "Rolling up. Places of one colour come to lie on one another. Drag to turn.", 0.92, (c, width, height, ink) => {
    const cells = 54, drawn = [], put = (p) => project(place(p), width, height);
    for (let i = 0; i < (surface === "circle" ? 8 : 1) * cells; i++) {
      const x = LOW + ((i + 0.5) * 3 * PERIOD) / cells / (surface === "circle" ? 8 : 1);
      for (let j = 0; j < (surface === "circle" ? 1 : cells); j++) {
        const p = [x, LOW + ((j + 0.5) * 3 * PERIOD) / cells];
        drawn.push([...put(p), colour(home(p)[0] / PERIOD)]);
      }
    }
    drawn.sort((a, b) => a[2] - b[2]);
    for (const [px, py, , shade] of drawn) dot(c, px, py, 1.7, shade);
    line(c, trail.map(put), ORANGE, 2.5);
    for (const p of copies(at)) dot(c, ...put(p).slice(0, 2), 4.5, null, BLUE);
    const here = put(at);
    dot(c, ...put(trail[0]).slice(0, 2), 3, ink);
    star(c, here[0], here[1], 8, ORANGE);
  });
  const project = turning(solid.canvas, () => solid.redraw());

  function show() {
    const below = home(at), first = home(trail[0]), over = flips(turns(at)) !== flips(turns(trail[0]));
    const back = trail.length > 10 && Math.hypot(below[0] - first[0], below[1] - first[1]) < 0.1;
    const there = surface === "circle" ? `${at[0].toFixed(1)} on the line` : `(${at.map((v) => v.toFixed(1)).join(", ")}) in the plane`;
    const name = SURFACES[surface], where = surface === "circle" ? below[0].toFixed(1) : `(${below.map((v) => v.toFixed(1)).join(", ")})`;
    const news = over ? "Turned over: what was up is down. A second time round puts it right." : back ? "Back where the walk began, the same way up." : "";
    view.says.textContent = `At ${there}, which is ${where} on the ${name}. ${news}`;
    sheet.redraw();
    solid.redraw();
    model.set("state", { surface, at, below, rolled, over });
    model.save_changes();
  }

  show();
}

export default { render };
