// Hover cards: what a link to the glossary, the bibliography or the reference leads to, shown beside it. cards.js holds the texts.
document.addEventListener("DOMContentLoaded", () => {
  const offset = document.querySelector('meta[name="quarto:offset"]')?.content ?? document.documentElement.dataset.content_root ?? "./";
  const root = new URL(offset, location.href).href;
  const card = Object.assign(document.createElement("div"), { id: "hover-card", className: "card-hover", hidden: true });
  card.setAttribute("role", "tooltip");
  document.body.append(card);

  function show(link, text) {
    card.innerHTML = text;
    card.hidden = false;
    link.setAttribute("aria-describedby", card.id);
    const at = link.getBoundingClientRect(), size = card.getBoundingClientRect(), gap = 8;
    const above = at.bottom + gap + size.height > innerHeight && at.top > size.height + gap;
    const left = Math.max(gap, Math.min(at.left, document.documentElement.clientWidth - size.width - gap));
    card.style.left = `${left + scrollX}px`;
    card.style.top = `${(above ? at.top - size.height - gap : at.bottom + gap) + scrollY}px`;
  }

  function hide(link) {
    card.hidden = true;
    link.removeAttribute("aria-describedby");
  }

  for (const link of document.querySelectorAll("main a[href]")) {
    const address = link.href.startsWith(root) ? link.href.slice(root.length) : "";
    const text = window.hoverCards?.[address];
    if (!text || address.split("#")[0] === location.href.slice(root.length).split("#")[0]) continue;
    link.classList.toggle("term", address.startsWith("glossary.html"));
    link.removeAttribute("title");
    for (const event of ["mouseenter", "focus"]) link.addEventListener(event, () => show(link, text));
    for (const event of ["mouseleave", "blur"]) link.addEventListener(event, () => hide(link));
    link.addEventListener("keydown", (event) => event.key === "Escape" && hide(link));
  }
});
