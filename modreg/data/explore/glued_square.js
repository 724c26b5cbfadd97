// The square whose edges are glued: a disc is dragged over an edge of the torus or of the Klein bottle.

function render({ model, el }) {
  const view = frame({ model, el }, "Drag the disc over an edge. Where does it come back, and which way up?");
  let manifold = "klein", centre = [8.6, 3], radius = 1.8;

  choice(view.controls, "surface", { klein: "Klein bottle", torus: "torus" }, manifold, (v) => {
    manifold = v;
    show();
  });
  slider(view.controls, "radius", [0.5, 4.5, radius], 0.1, (v) => {
    radius = v;
    show();
  });

  const sliders = ["across", "up"].map((name, k) => slider(view.controls, name, [0, PERIOD, centre[k]], 0.1, (v) => {
    centre[k] = v % PERIOD;
    show();
  }));

  const home = ([x, y]) => {
    const turns = Math.floor(x / PERIOD), flipped = manifold === "klein" && turns % 2 !== 0;
    return [mod(x, PERIOD), mod(flipped ? -y : y, PERIOD)];
  };

  const flat = panel(view.panels, "square with glued edges; drag the disc or use the arrow keys", "Edges with the same arrow are one. The little hand shows which way is up for the disc.", 0.92, (c, width, height, ink) => {
    const { size, left, top, x, y } = plane(width, height, 44, 0, PERIOD);
    const cells = 60, far = MANIFOLDS[manifold].distance;
    for (let i = 0; i < cells; i++) {
      for (let j = 0; j < cells; j++) {
        const p = [((i + 0.5) * PERIOD) / cells, ((j + 0.5) * PERIOD) / cells], d = far(p, centre);
        if (d > radius) continue;
        c.fillStyle = colour(d / 5);
        c.fillRect(x((i * PERIOD) / cells), y(((j + 1) * PERIOD) / cells), size / cells + 0.6, size / cells + 0.6);
      }
    }
    for (let turn = -1; turn <= 1; turn++) {
      for (let up = -1; up <= 1; up++) {
        const flip = manifold === "klein" && turn !== 0 ? -1 : 1, at = [centre[0] + turn * PERIOD, flip * centre[1] + up * PERIOD + (flip < 0 ? PERIOD : 0)];
        c.save();
        c.beginPath();
        c.rect(left, top, size, size);
        c.clip();
        line(c, [[x(at[0]), y(at[1])], [x(at[0] + 0.35 * radius), y(at[1])]], ORANGE, 3);
        line(c, [[x(at[0]), y(at[1])], [x(at[0]), y(at[1] + flip * 0.8 * radius)]], ORANGE, 3);
        c.restore();
      }
    }
    c.strokeStyle = ink;
    c.lineWidth = 1.5;
    c.strokeRect(left, top, size, size);
    arrow(c, ink, x(5), y(0), 1, 0, 1);
    arrow(c, ink, x(5), y(10), 1, 0, 1);
    arrow(c, ink, x(0), y(5), 0, -1, 2);
    arrow(c, ink, x(10), y(5), 0, manifold === "klein" ? 1 : -1, 2);
  });
  const grab = (px, py) => {
    centre = home(plane(flat.canvas.clientWidth, flat.canvas.clientHeight, 44, 0, PERIOD).back(px, py));
    show();
  };
  drag(flat.canvas, grab);
  arrows(flat.canvas, (dx, dy) => {
    centre = home([centre[0] + 0.25 * dx, centre[1] + 0.25 * dy]);
    show();
  });

  const solid = panel(view.panels, "the same disc on the surface in space", "The same disc in space. Drag to turn.", 0.92, (c, width, height) => {
    const cells = 64, far = MANIFOLDS[manifold].distance, drawn = [];
    for (let i = 0; i < cells; i++) {
      for (let j = 0; j < cells; j++) {
        const p = [(i * PERIOD) / cells, (j * PERIOD) / cells], d = far(p, centre);
        drawn.push([...project(MANIFOLDS[manifold].place(p), width, height), d]);
      }
    }
    drawn.sort((a, b) => a[2] - b[2]);
    for (const [px, py, deep, d] of drawn) dot(c, px, py, d <= radius ? 3 + deep : 1.1, d <= radius ? colour(d / 5) : "#8888");
  });
  const project = turning(solid.canvas, () => solid.redraw());

  function show() {
    const over = centre[0] < radius || centre[0] > PERIOD - radius;
    const words = { klein: "turned over: up has become down", torus: "the same way up" };
    view.says.textContent = `Centre (${centre.map((v) => v.toFixed(1)).join(", ")}). ` + (over ? `It reaches over a side edge and comes back on the other side, ${words[manifold]}.` : "Move it to the right or left edge.");
    sliders.forEach((one, k) => (one.value = centre[k].toFixed(1)));
    flat.redraw();
    solid.redraw();
    model.set("state", { manifold, centre, radius });
    model.save_changes();
  }

  show();
}

/** `count` arrow heads at (x, y) in direction (dx, dy), dy downwards. */
function arrow(c, ink, x, y, dx, dy, count) {
  c.fillStyle = ink;
  for (let k = 0; k < count; k++) {
    const px = x + 9 * k * dx, py = y + 9 * k * dy;
    c.beginPath();
    c.moveTo(px + 8 * dx, py + 8 * dy);
    c.lineTo(px - 5 * dy, py - 5 * dx);
    c.lineTo(px + 5 * dy, py + 5 * dx);
    c.closePath();
    c.fill();
  }
}

export default { render };
