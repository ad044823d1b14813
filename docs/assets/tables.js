// Tables that are wider than the page scroll by themselves: they can be reached by keyboard, and say that there is more.
(() => {
  function mark() {
    for (const part of document.querySelectorAll(".md-typeset__scrollwrap, .scrolls")) {
      const isWide = part.scrollWidth > part.clientWidth + 1;
      part.classList.toggle("is-wide", isWide);
      if (part.matches(".scrolls")) continue; // has its own words
      if (isWide) {
        part.tabIndex = 0;
        part.setAttribute("role", "region");
        part.setAttribute("aria-label", "Table, scrolls sideways");
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) part.removeAttribute(name);
      }
    }
  }
  addEventListener("load", mark);
  addEventListener("resize", mark);
})();
