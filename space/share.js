/* Choices live in the address: `?tab=vision&defender=signs`. Only the open tab's are in it. */
window.mergeguard = (() => {
  const asked = new URLSearchParams(location.search);
  const kept = [...asked].filter(([name]) => name.startsWith("__")); // of Gradio and of the Hub, the theme for one
  const given = [...asked].filter(([name]) => name !== "tab" && !name.startsWith("__"));
  let open = asked.get("tab") || "";
  const shared = Boolean(open) && given.length > 0;
  const chosen = { [open]: Object.fromEntries(given) };
  let restored = false; // until then the address is the visitor's, and the server still has to read it

  const write = () => {
    if (!open || !restored) return;
    const address = new URL(location.href);
    address.search = "";
    address.searchParams.set("tab", open);
    for (const [name, value] of Object.entries(chosen[open] || {})) address.searchParams.set(name, value);
    for (const [name, value] of kept) address.searchParams.set(name, value);
    history.replaceState(null, "", address);
  };

  return {
    remember(tab, name, value) {
      (chosen[tab] ||= {})[name] = value;
      if (!restored) return;
      open = tab;
      write();
    },
    show(tab) {
      if (!restored) return;
      open = tab;
      write();
    },
    pressRun() {
      restored = true;
      const tabs = [...document.querySelectorAll("[role=tab]")];
      const at = tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true");
      const now = at < 0 ? "" : tabs[at].id.replace("-tab-button", "");
      if (now && now !== open && (open || at > 0)) this.show(now); // chosen while the page was still opening
      if (shared) setTimeout(() => document.getElementById(`${open}-run`)?.click(), 300);
    },
  };
})();

/* On a telephone the result stands above the choices: a button leads down to them, and running leads up again. */
document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("button");
  const ran = button?.id.match(/^(\w+?)(?:-hub)?-(?:run|draw)$/);
  const to = button?.dataset.to || (ran && matchMedia("(max-width: 767px)").matches && `${ran[1]}-status`);
  const smooth = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  if (to) document.getElementById(to)?.scrollIntoView({ behavior: smooth, block: "center" });
});

/* Gradio draws the heading of a group of choices as plain text; this makes it the group's name for screen readers. */
new MutationObserver(() => {
  for (const group of document.querySelectorAll("fieldset:not([aria-label])")) {
    const heading = group.querySelector("[data-testid=block-info]");
    if (heading) group.setAttribute("aria-label", heading.textContent.trim());
  }
}).observe(document.documentElement, { childList: true, subtree: true });
