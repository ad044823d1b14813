// Enlarging figures, and searching, sorting and opening runs.

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function closedByItsGround(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function enlargeFigures() {
  const dialog = document.getElementById("enlarged");
  const large = dialog.querySelector("img");
  for (const button of document.querySelectorAll("button.zoom")) {
    button.addEventListener("click", () => {
      const small = button.querySelector("img");
      large.src = small.src;
      large.alt = small.alt;
      dialog.showModal();
    });
  }
  closedByItsGround(dialog);
}

// Paper has no folds: all sentences of the answer are printed.
function unfoldForPrint() {
  const folded = () => document.querySelectorAll('[aria-labelledby="answer"] details:not([open])');
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...folded()];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
}

async function tableOfRuns() {
  const { columns, runs, configurations } = await unpack(document.getElementById("run-data").textContent);
  const table = document.getElementById("run-table");
  const [search, before, after, counted] = ["run-search", "runs-before", "runs-after", "run-count"].map((id) =>
    document.getElementById(id),
  );
  const size = 50;
  let [shown, first, sortedBy, direction] = [runs, 0, null, 1];

  function names(run) {
    const cell = element("th", "");
    cell.scope = "row";
    const button = element("button", run.name, "link");
    button.type = "button";
    button.addEventListener("click", () => open(run));
    cell.append(button, ...run.labels.flatMap((label) => [" ", element("span", label, "label")]));
    if (run.reason) cell.append(element("br", ""), element("span", run.reason, "soft reason"));
    return cell;
  }

  function draw() {
    const rows = shown.slice(first, first + size).map((run) => {
      const row = element("tr", "");
      const cells = run.cells.map((text, number) => element("td", text, columns[number].is_text ? "text" : ""));
      row.append(names(run), ...cells);
      return row;
    });
    table.tBodies[0].replaceChildren(...rows);
    const last = Math.min(first + size, shown.length);
    counted.textContent = shown.length ? `${first + 1} to ${last} of ${shown.length}` : "No run has this.";
    before.disabled = first === 0;
    after.disabled = last >= shown.length;
  }

  function choose() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = runs.filter((run) => words.every((word) => run.text.includes(word)));
    if (sortedBy !== null) shown.sort((a, b) => direction * compare(a.sort[sortedBy], b.sort[sortedBy]));
    first = 0;
    draw();
  }

  function compare(a, b) {
    if (a === null || b === null) return direction * ((a === null) - (b === null)); // what is missing comes last
    return typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function open(run) {
    const pairs = (list) =>
      list.map(([name, value]) => {
        const pair = element("div", "");
        pair.append(element("dt", name), element("dd", value));
        return pair;
      });
    const cells = columns.map((column, number) => [column.title, run.cells[number]]);
    document.getElementById("run-name").textContent = run.name;
    const reason = document.getElementById("run-reason");
    reason.textContent = run.reason;
    reason.hidden = !run.reason;
    document.getElementById("run-values").replaceChildren(...pairs([...cells, ...run.more]));
    document.getElementById("run-settings").replaceChildren(...pairs(configurations[run.configuration]));
    document.getElementById("run-details").showModal();
  }

  const settings = configurations.map((pairs) => pairs.map((pair) => pair.join("=")).join(" ").toLowerCase());
  for (const run of runs) {
    const texts = [run.name, ...run.labels, run.reason, ...run.cells, ...run.more.map((pair) => pair[1])];
    run.text = `${texts.join(" ").toLowerCase()} ${settings[run.configuration]}`;
  }
  [...table.tHead.rows[0].cells].forEach((heading, number) => {
    const button = element("button", heading.textContent, "sort");
    button.type = "button";
    button.addEventListener("click", () => {
      direction = sortedBy === number ? -direction : 1;
      sortedBy = number;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      choose();
    });
    heading.replaceChildren(button);
  });
  search.addEventListener("input", choose);
  before.addEventListener("click", () => { first -= size; draw(); });
  after.addEventListener("click", () => { first += size; draw(); });
  closedByItsGround(document.getElementById("run-details"));
  document.querySelector(".run-tools").hidden = false;
  draw();
}

unfoldForPrint();
if (document.getElementById("enlarged")) enlargeFigures();
if (document.getElementById("run-data")) tableOfRuns();
