// Tool tips by the theme: what a link to the glossary, the bibliography or the reference leads to, shown beside it. Escape hides them.
// And a cue below each table that is wider than its place.
document.addEventListener("DOMContentLoaded", () => {
  function card(link, text) {
    const [, head, rest] = link.href.includes("bibliography.html") ? [, "", text] : text.match(/^([^:]*): ?(.*)$/s) ?? [, "", text];
    const made = document.createElement("span");
    made.append(Object.assign(document.createElement("b"), { textContent: head }), rest);
    return made;
  }
  const tips = [...document.querySelectorAll("main a.reference[title]")].map((link) => {
    const title = card(link, link.title);
    return new bootstrap.Tooltip(link, { title, html: true, customClass: "card-hover", placement: "bottom", delay: { show: 100, hide: 0 } });
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && tips.forEach((tip) => tip.hide()));
  const seen = new ResizeObserver((changes) => changes.forEach(({ target }) => {
    const box = target.closest(".pst-scrollable-table-container");
    box.classList.toggle("wide", box.scrollWidth > box.clientWidth + 8);
  }));
  document.querySelectorAll("article .pst-scrollable-table-container").forEach((box) => [box, box.querySelector("table")].forEach((one) => seen.observe(one)));
});
