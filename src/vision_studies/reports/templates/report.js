// What lies beside the page, contents that follow, enlarging figures, and searching, sorting and opening runs.

// Scripts that lie beside the page give it texts. A page that is opened as a file may fetch nothing else.
const awaited = new Map();
globalThis.visionStudies = (name, text) => awaited.get(name)(text);

function added(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error(`${address} is not beside the page.`)));
    script.src = address;
    document.head.append(script);
  });
}

const texts = new Map();
function given(name) {
  if (!texts.has(name)) {
    texts.set(name, new Promise((resolve, reject) => {
      awaited.set(name, resolve);
      added(document.body.dataset.scripts.replace("*", name)).catch(reject);
    }));
  }
  return texts.get(name);
}

const beforePrinting = [];
async function printAll() {
  await Promise.all(beforePrinting.map((ready) => ready()));
  print();
}

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

// Paper has no folds but where a list is long.
function unfoldForPrint() {
  const folded = () => document.querySelectorAll("details.part:not([open]), #answer-section details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...folded()];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
  const button = document.getElementById("print");
  button?.addEventListener("click", printAll);
  if (button) button.hidden = false;
}

// Contents show where one is, and what they lead to is unfolded.
function followContents() {
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const targets = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const part = target?.closest("details");
    if (!part || part.open) return;
    part.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  for (const link of links.values()) link.addEventListener("click", () => setTimeout(unfold));
  unfold();
  let current = null;
  const follow = () => {
    const passed = targets.filter((target) => target.getBoundingClientRect().top < innerHeight / 3);
    // At the end of the page all that is left is in view: then it is what was asked for, if that is, or else the last.
    const atEnd = scrollY > 0 && innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const seen = targets.filter((target) => target.getBoundingClientRect().top < innerHeight && target.getBoundingClientRect().top >= 0);
    const asked = seen.find((target) => `#${target.id}` === location.hash);
    const here = (atEnd ? asked ?? seen.at(-1) : passed.at(-1)) ?? targets[0];
    if (!here || here === current) return;
    links.get(current?.id)?.removeAttribute("aria-current");
    current = here;
    const link = links.get(here.id);
    link.setAttribute("aria-current", "true");
    const list = link.closest(".contents");
    list.scrollTo({ left: link.offsetLeft - list.clientWidth / 3, top: link.offsetTop - list.clientHeight / 2 });
  };
  addEventListener("scroll", follow, { passive: true });
  follow();
}

async function tableOfRuns() {
  const { columns, runs, configurations } = await unpack(await given("runs"));
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
  rowsOf.set(table, () => shown.map((run) => [run.name, ...run.cells]));
  draw();
}

unfoldForPrint();
if (document.getElementById("enlarged")) enlargeFigures();
followContents();
// Thousands of runs are read when somebody looks at them.
const partOfRuns = document.getElementById("run-table")?.closest("details");
if (partOfRuns?.open) tableOfRuns();
else partOfRuns?.addEventListener("toggle", tableOfRuns, { once: true });
