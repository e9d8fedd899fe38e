/* Runs before anything is painted: the visitor's theme, and the end of the first view when the page has built the tab. */
{
  const theme = new URLSearchParams(location.search).get("__theme");
  const dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  if (dark) document.body.classList.add("dark");
  const opening = document.getElementById("opening");
  const watch = new MutationObserver(() => {
    const built = document.getElementById(`${opening.dataset.tab}-result`);
    if (!built || built.offsetParent === null || !built.textContent.trim()) return;
    watch.disconnect();
    opening.remove();
  });
  watch.observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["style"] });
}
