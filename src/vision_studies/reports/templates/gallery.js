// The gallery of mistakes: what reports/gallery.py has chosen, by list, classifier and class; read when it is unfolded.
(() => {
  const part = document.getElementById("gallery");
  if (!part) return;
  const [kind, first, second, ofClass, count, pairs, images, dialog] = [
    "gallery-kind", "gallery-first", "gallery-second", "gallery-class", "gallery-count", "gallery-pairs", "gallery-images", "mistake",
  ].map((id) => document.getElementById(id));
  const KINDS = [
    ["errors", "the most confident errors"],
    ["first", "right by the first, wrong by the second"],
    ["second", "wrong by the first, right by the second"],
    ["doubtful", "labels that are probably wrong"],
  ];
  let gallery = null;
  let shown = [];
  let pair = null;
  let open = 0;

  async function start() {
    gallery = JSON.parse(await given("gallery"));
    part.style.setProperty("--sprite", `url(${gallery.sprite})`);
    dialog.style.setProperty("--sprite", `url(${gallery.sprite})`);
    const names = gallery.classifiers.map(({ name }) => name);
    const kinds = KINDS.filter(([name]) => (name === "errors") || (name === "doubtful" ? gallery.doubtful.total : names.length > 1));
    fill(kind, kinds);
    fill(first, names.map((name, number) => [number, name]));
    fill(second, names.map((name, number) => [number, name]));
    fill(ofClass, [["", "all"], ...gallery.classes.map((name, number) => [number, name])]);
    if (names.length > 1) second.value = 1;
    for (const choice of [kind, first, second, ofClass]) {
      choice.addEventListener("change", () => { pair = null; show(); });
    }
    show();
  }

  function fill(select, options) {
    select.replaceChildren(...options.map(([value, name]) => {
      const option = element("option", name);
      option.value = value;
      return option;
    }));
  }

  const wrong = (entry, number) => entry.says[number] && entry.says[number][0] !== entry.label;
  const right = (entry, number) => entry.says[number] && entry.says[number][0] === entry.label;
  const sure = (entry, number) => entry.says[number]?.[1] ?? 0;

  function listed() {
    const [a, b] = [Number(first.value), Number(second.value)];
    const { entries, doubtful, discordant, classifiers } = gallery;
    if (kind.value === "doubtful") {
      return [doubtful.entries.map((place) => entries[place]), doubtful.total, `of ${doubtful.images} images have a label that is probably wrong`];
    }
    if (kind.value === "errors") {
      const found = entries.filter((entry) => wrong(entry, a)).sort((one, other) => sure(other, a) - sure(one, a));
      return [found, classifiers[a].wrong, `of ${classifiers[a].images} test images are wrong by ${classifiers[a].name}`];
    }
    const [good, bad] = kind.value === "first" ? [a, b] : [b, a];
    const found = entries.filter((entry) => right(entry, good) && wrong(entry, bad)).sort((one, other) => sure(other, bad) - sure(one, bad));
    return [found, discordant[good][bad], `of ${classifiers[a].images} test images are right by ${classifiers[good].name} and wrong by ${classifiers[bad].name}`];
  }

  function show() {
    const one = Number(first.value);
    second.parentElement.hidden = !["first", "second"].includes(kind.value);
    first.parentElement.hidden = kind.value === "doubtful";
    const [found, total, words] = listed();
    shown = found.filter((entry) => ofClass.value === "" || entry.label === Number(ofClass.value));
    if (pair) shown = shown.filter((entry) => entry.label === pair[0] && entry.says[one]?.[0] === pair[1]);
    count.textContent = `${total} ${words}; ${shown.length} ${shown.length === 1 ? "is" : "are"} shown.`;
    pairs.hidden = kind.value !== "errors";
    pairs.replaceChildren(...gallery.classifiers[one].confusions.map(([label, said, images]) => {
      const button = element("button", `${gallery.classes[label]} taken for ${gallery.classes[said]}: ${images}`);
      button.type = "button";
      button.setAttribute("aria-pressed", String(pair?.[0] === label && pair?.[1] === said));
      button.addEventListener("click", () => {
        pair = pair?.[0] === label && pair?.[1] === said ? null : [label, said];
        show();
        [...pairs.querySelectorAll("button")].find((other) => other.textContent === button.textContent)?.focus();
      });
      const item = element("li", "");
      item.append(button);
      return item;
    }));
    images.replaceChildren(...shown.map((entry, number) => {
      const item = element("li", "");
      const button = element("button", "", "mistake");
      button.type = "button";
      const [said, confidence] = answer(entry) ?? [];
      button.append(thumbnail(element("span", "", "tile"), entry), element("span", gallery.classes[entry.label]), element("span", said === undefined ? "" : `→ ${gallery.classes[said]}${confidence === null ? "" : `, ${confidence} %`}`, "soft"));
      button.addEventListener("click", () => tell(number));
      item.append(button);
      return item;
    }));
  }

  // What is said of an image in the list that is shown.
  function answer(entry) {
    if (kind.value === "doubtful") return entry.held_out;
    return entry.says[Number(kind.value === "first" ? second.value : first.value)];
  }

  function thumbnail(tile, entry) {
    const place = gallery.entries.indexOf(entry);
    const rows = Math.ceil(gallery.entries.length / gallery.columns);
    tile.style.backgroundSize = `${gallery.columns * 100}% ${rows * 100}%`;
    const [column, row] = [place % gallery.columns, Math.floor(place / gallery.columns)];
    const share = (number, of) => (of > 1 ? (100 * number) / (of - 1) : 0);
    tile.style.backgroundPosition = `${share(column, gallery.columns)}% ${share(row, rows)}%`;
    return tile;
  }

  function tell(number) {
    open = number;
    const entry = shown[number];
    const name = `Image ${entry.index}: labelled ${gallery.classes[entry.label]}`;
    document.getElementById("mistake-name").textContent = name;
    const tile = thumbnail(document.getElementById("mistake-image"), entry);
    tile.setAttribute("aria-label", name);
    const rows = gallery.classifiers.flatMap((classifier, place) => (entry.says[place] ? [[classifier.name, entry.says[place]]] : []));
    if (entry.held_out && !rows.length) rows.push(["a network that has not learnt from it", entry.held_out]);
    document.getElementById("mistake-says").replaceChildren(...rows.map(([who, [said, confidence]]) => {
      const row = element("tr", "");
      const head = element("th", who);
      head.scope = "row";
      row.append(head, element("td", `${gallery.classes[said]}${said === entry.label ? " (right)" : ""}`, "text"), element("td", confidence === null ? "–" : `${confidence} %`));
      return row;
    }));
    document.getElementById("mistake-before").disabled = number === 0;
    document.getElementById("mistake-after").disabled = number === shown.length - 1;
    if (!dialog.open) dialog.showModal();
  }

  const step = (by) => { if (shown[open + by]) tell(open + by); };
  document.getElementById("mistake-before").addEventListener("click", () => step(-1));
  document.getElementById("mistake-after").addEventListener("click", () => step(1));
  dialog.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft") step(-1);
    if (key === "ArrowRight") step(1);
  });
  closedByItsGround(dialog);
  dialog.addEventListener("close", () => images.querySelectorAll("button")[open]?.focus());
  images.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const buttons = [...images.querySelectorAll("button")];
    const target = buttons[buttons.indexOf(document.activeElement) + by];
    if (!by || !target) return;
    event.preventDefault();
    target.focus();
  });
  if (part.open) start();
  else part.addEventListener("toggle", start, { once: true });
})();
