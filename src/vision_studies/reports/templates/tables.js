// What every table of the page offers: sorting by a heading, a filter, a choice of columns, and its rows as Markdown, LaTeX
// and CSV, as they are filtered, sorted and chosen. The table of runs brings its own rows, of which it shows a part.
const MOST_COLUMNS = 12; // of more, the first are shown until others are chosen
const SHOWN_COLUMNS = 10;
const FEW_ROWS = 8; // need no filter
const rowsOf = new Map(); // table -> function that gives its rows as lists of texts

(() => {
  const UNITS = { k: 1e3, M: 1e6, G: 1e9, h: 3600, min: 60, s: 1 };
  const LATEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "×": "$\\times$" };

  // A number with its unit as a number, a length of time in seconds, other text as it is; null where there is nothing.
  function sortable(text) {
    if (!text || text === "–") return null;
    const time = [...text.matchAll(/([\d.]+) (h|min|s)\b/g)];
    if (time.length) return time.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit], 0);
    const found = text.match(/^([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?: ([kMG])\b)?/);
    return found ? Number(found[1].replaceAll(",", "")) * (UNITS[found[2]] ?? 1) : text.toLowerCase();
  }

  function words(cell) {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll("br").forEach((line) => line.replaceWith("; "));
    return copy.textContent.replace(/\s+/g, " ").trim();
  }

  function compared(a, b, direction) {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return direction * order;
  }

  function offerSorting(table) {
    let direction = 1;
    [...table.tHead.rows[0].cells].forEach((heading, number) => {
      const button = element("button", words(heading), "sort");
      button.type = "button";
      button.addEventListener("click", () => {
        direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        const body = table.tBodies[0];
        const keyed = [...body.rows].map((row) => [sortable(words(row.cells[number])), row]);
        keyed.sort(([a], [b]) => compared(a, b, direction));
        body.append(...keyed.map(([, row]) => row));
      });
      heading.replaceChildren(button);
    });
  }

  function offerFilter(table, tools) {
    const label = element("label", "Filter ");
    const input = element("input", "");
    input.type = "search";
    label.append(input);
    const counted = element("span", "", "soft");
    counted.setAttribute("role", "status");
    tools.append(label, counted);
    input.addEventListener("input", () => {
      const sought = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) row.hidden = !sought.every((word) => row.textContent.toLowerCase().includes(word));
      counted.textContent = sought.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    });
  }

  function offerColumns(table, tools) {
    const headings = [...table.tHead.rows[0].cells].map(words);
    const off = new Set(headings.keys());
    for (const number of [...off].slice(0, headings.length > MOST_COLUMNS ? SHOWN_COLUMNS : headings.length)) off.delete(number);
    const folded = element("details", "");
    const summary = element("summary", "");
    const apply = () => {
      for (const row of table.rows) [...row.cells].forEach((cell, number) => { cell.hidden = off.has(number); });
      summary.textContent = `Columns (${headings.length - off.size} of ${headings.length})`;
    };
    const boxes = headings.slice(1).map((name, place) => {
      const number = place + 1;
      const label = element("label", "");
      const box = element("input", "");
      box.type = "checkbox";
      box.checked = !off.has(number);
      box.addEventListener("change", () => {
        if (box.checked) off.delete(number);
        else off.add(number);
        apply();
      });
      label.append(box, ` ${name}`);
      return label;
    });
    const members = element("div", "", "columns");
    members.append(...boxes);
    folded.append(summary, members);
    tools.append(folded);
    apply();
    new MutationObserver(apply).observe(table.tBodies[0], { childList: true });
    return off;
  }

  function content(table, off) {
    const chosen = (cells) => cells.filter((_, number) => !off.has(number));
    const rows = rowsOf.get(table)?.() ?? [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => [...row.cells].map(words));
    return [chosen([...table.tHead.rows[0].cells].map(words)), ...rows.map(chosen)];
  }

  function markdown([headings, ...rows]) {
    const line = (cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    return [line(headings), line(headings.map((_, number) => (number ? "---:" : "---"))), ...rows.map(line), ""].join("\n");
  }

  function latex([headings, ...rows]) {
    const text = (cell) => cell.replace(/[\\~^±×&%$#_{}]/g, (letter) => LATEX[letter] ?? `\\${letter}`);
    const line = (cells) => `${cells.map(text).join(" & ")} \\\\`;
    const columns = `l${"r".repeat(headings.length - 1)}`;
    return [`\\begin{tabular}{${columns}}`, "\\toprule", line(headings), "\\midrule", ...rows.map(line), "\\bottomrule", "\\end{tabular}", ""].join("\n");
  }

  // A spreadsheet computes what begins so, unless it is a number.
  const formula = (cell) => /^\s*[=+@-]/.test(cell) && !/^[+-]?[\d.,]+( ?%)?$/.test(cell);
  function csv(rows) {
    const text = (cell) => `"${(formula(cell) ? `'${cell}` : cell).replaceAll('"', '""')}"`;
    return rows.map((cells) => cells.map(text).join(",")).join("\n") + "\n";
  }

  async function copy(text, told) {
    try {
      await navigator.clipboard.writeText(text);
      told.textContent = "Copied.";
    } catch { // some browsers keep it from pages that are files
      const area = element("textarea", text);
      area.setAttribute("aria-label", "Copy this");
      area.readOnly = true;
      told.replaceChildren(area);
      area.select();
    }
  }

  function offerFormats(table, tools, off) {
    const told = element("span", "", "soft");
    told.setAttribute("role", "status");
    for (const [name, write] of [["Markdown", markdown], ["LaTeX", latex]]) {
      const button = element("button", `Copy as ${name}`);
      button.type = "button";
      button.addEventListener("click", () => copy(write(content(table, off)), told));
      tools.append(button);
    }
    const button = element("button", "Download CSV");
    button.type = "button";
    button.addEventListener("click", () => {
      const link = element("a", "");
      link.href = URL.createObjectURL(new Blob([csv(content(table, off))], { type: "text/csv" }));
      link.download = `${(table.closest(".scroll").getAttribute("aria-label") || "table").toLowerCase().replace(/[^a-z0-9]+/g, "_")}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href));
      told.textContent = "Downloaded.";
    });
    tools.append(button, told);
  }

  for (const table of document.querySelectorAll(".scroll > table")) {
    if (!table.tHead || !table.tBodies[0]) continue;
    const tools = element("div", "", "controls table-tools");
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-label", `Tools of the table ${table.closest(".scroll").getAttribute("aria-label")}`);
    const own = table.id === "run-table"; // sorts and searches by itself
    if (!own) offerSorting(table);
    if (!own && table.tBodies[0].rows.length > FEW_ROWS) offerFilter(table, tools);
    const off = table.tHead.rows[0].cells.length > 3 ? offerColumns(table, tools) : new Set();
    offerFormats(table, tools, off);
    table.closest(".scroll").before(tools);
  }
})();
