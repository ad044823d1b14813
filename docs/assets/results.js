// The page of results: a search, a choice for each of some columns, and sorting by a heading. Without scripts the table stands as it is.
(() => {
  const CHOICES = ["Study", "Images", "Budget", "Verdict"];
  const table = document.getElementById("all-results");
  const tools = document.getElementById("results-filter");
  const headings = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const text = (row, number) => row.cells[number].textContent.trim();

  function labelled(name, field) {
    const label = document.createElement("label");
    label.append(name, field);
    tools.append(label);
    return field;
  }

  const search = labelled("Search", document.createElement("input"));
  search.type = "search";
  const choices = CHOICES.map((name) => {
    const number = headings.findIndex((heading) => heading.textContent === name);
    const select = labelled(name, document.createElement("select"));
    select.append(new Option("all", ""));
    for (const value of [...new Set(rows.map((row) => text(row, number)))].sort()) select.append(new Option(value));
    return { number, select };
  });
  const counted = document.createElement("p");
  counted.setAttribute("role", "status");
  const reset = document.createElement("button");
  reset.type = "button";
  reset.textContent = "Show all";
  reset.className = "md-button";
  reset.addEventListener("click", () => {
    search.value = "";
    for (const { select } of choices) select.value = "";
    filter();
    search.focus();
  });
  tools.append(reset, counted);

  function filter() {
    const sought = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const words = row.textContent.toLowerCase();
      const chosen = choices.every(({ number, select }) => !select.value || text(row, number) === select.value);
      row.hidden = !(chosen && sought.every((word) => words.includes(word)));
      shown += !row.hidden;
    }
    counted.textContent = shown ? `${shown} of ${rows.length} results` : "No result is like this; choose less.";
    reset.disabled = shown === rows.length && !search.value;
  }

  const number = (value) => Number(value.replaceAll(",", "").replace("−", "-"));
  headings.forEach((heading, place) => {
    const isNumber = heading.classList.contains("number");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const direction = heading.getAttribute("aria-sort") === (isNumber ? "descending" : "ascending") ? "other" : "first";
      const sign = (direction === "first") === isNumber ? -1 : 1;
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      rows.sort((a, b) => {
        const [left, right] = [text(a, place), text(b, place)];
        if (left === "–" || right === "–") return (left === "–") - (right === "–");
        return sign * (isNumber ? number(left) - number(right) : left.localeCompare(right, "en", { numeric: true }));
      });
      table.tBodies[0].append(...rows);
    });
  });

  for (const field of [search, ...choices.map(({ select }) => select)]) field.addEventListener("input", filter);
  tools.hidden = false;
  filter();
})();
