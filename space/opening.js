/* Runs before anything is painted: the visitor's theme, and the end of the first view when the page has built the tab. */
{
  const theme = new URLSearchParams(location.search).get("__theme");
  const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  if (dark) document.body.classList.add("dark");
  const opening = document.getElementById("opening");
  let last;
  const leave = () => {
    watch.disconnect();
    clearTimeout(last);
    opening.remove();
  };
  const watch = new MutationObserver(() => {
    // Whatever keeps the page from opening the tab that was asked for, a full queue perhaps: what it has is shown then.
    if (!last && document.getElementById("introduction")) last = setTimeout(leave, 5000);
    const built = document.getElementById(opening.dataset.until);
    if (built && built.offsetParent !== null && built.textContent.trim()) leave();
  });
  watch.observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["style"] });
  opening.addEventListener("click", ({ target }) => {
    const link = target.closest("nav a");
    if (!link) return;
    const to = new URL(link.href);
    for (const [name, value] of new URLSearchParams(location.search)) {
      if (name.startsWith("__")) to.searchParams.set(name, value); // of Gradio and of the Hub
    }
    link.href = to;
  });
}
