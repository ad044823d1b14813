// Draws the page's interactive figures. Plotly and the data of each figure lie beside the page, and are read when a figure
// comes near the screen. What `layout.meta` means stands in figures/interactive_style.py; `given` and `added` in report.js.
(() => {
  const figures = [...document.querySelectorAll("figure.chart")];
  if (!figures.length) return;

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  const coarse = matchMedia("(pointer: coarse)");
  const FAILED = "This figure could not be drawn: the scripts that lie beside the page are not there, or the browser is older than 2023.";
  const INK = "#000000"; // of lines that are white in the dark
  const PAPER = { ink: "#000000", soft: "#444444", line: "#bbbbbb", accent: "#000000", ground: "#ffffff" };
  const MOST_SWITCHES = 16; // of more, those of a group are folded
  const PRINTED_WIDTH = 660; // pixels within the margins of a page
  const MARKS = {
    circle: "●", square: "■", diamond: "◆", "triangle-up": "▲", "triangle-down": "▼", cross: "✚", x: "✖", star: "★",
  };
  const DASHES = { dash: "5 3", dot: "2 2", dashdot: "6 2 2 2" };
  const NUMBERS = {
    i1: Int8Array, i2: Int16Array, i4: Int32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array,
    f4: Float32Array, f8: Float64Array,
  };
  const CONFIG = {
    displaylogo: false, responsive: true, displayModeBar: "hover", scrollZoom: false, typesetMath: false, plotlyServerURL: "",
    toImageButtonOptions: { format: "svg" }, // a PNG would need a policy with blob: images
  };
  // Named one by one: by default there is one that sends the figure to Plotly's server.
  const BUTTONS = [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]];
  const charts = new Map();
  let loading = null;
  let printing = false;

  function bytes(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const letters = atob(text);
    const made = new Uint8Array(letters.length);
    for (let index = 0; index < letters.length; index += 1) made[index] = letters.charCodeAt(index);
    return made;
  }

  function load() {
    loading ??= (async () => {
      keepPolicy();
      // Where a page was taken elsewhere, as trackers take it, Plotly lies among its own scripts.
      const own = document.body.dataset.scripts.replace(/[^/]*$/, "") + document.body.dataset.plotly.split("/").pop();
      await added(document.body.dataset.plotly).catch(() => added(own));
      if (!window.Plotly) throw new Error("Plotly did not start.");
    })();
    return loading;
  }

  // The policy forbids styles in markup. Plotly sets a few styles as attributes, and adds a style sheet for maps, which no
  // figure here has: the first go through the object model, the second finds its place taken.
  function keepPolicy() {
    const set = Element.prototype.setAttribute;
    Element.prototype.setAttribute = function setAttribute(name, value) {
      if (name === "style" && this.style) this.style.cssText = value;
      else set.call(this, name, value);
    };
    const taken = document.createElement("template");
    taken.id = document.body.dataset.plotlySheet;
    document.head.append(taken);
  }

  function unpacked(key, value) {
    const flat = value && value.bdata && !value.shape && value.dtype in NUMBERS; // Plotly reads those with a shape
    return flat ? new NUMBERS[value.dtype](bytes(value.bdata).buffer) : value;
  }

  function colours() {
    if (printing) return PAPER;
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(Object.keys(PAPER).map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  // What depends on the reader's colours and width, over the layout that the figure brought.
  function look(chart, layout) {
    const { ink, soft, line, accent, ground } = colours();
    const small = narrow.matches && !printing;
    const size = small ? 11 : 13;
    const { margin } = chart.layout;
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, size, family: getComputedStyle(document.body).fontFamily },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: accent },
      margin: { ...margin, l: small ? Math.min(margin.l, 44) : margin.l, r: small ? 8 : margin.r },
      dragmode: coarse.matches ? false : "zoom", // a finger scrolls the page
      hoverlabel: { align: "left", namelength: -1, font: { size: small ? 11 : 12 } },
      autosize: !printing, ...(printing ? { width: PRINTED_WIDTH } : {}),
    });
    // Below a horizontal axis: otherwise the title stands between labels that leave it room.
    const titled = (name, title) => ({ standoff: name[0] === "y" ? 12 : 30, ...title, font: { size } });
    for (const label of layout.annotations ?? []) label.bgcolor = ground; // over the lines
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      const axis = layout[name];
      Object.assign(axis, { gridcolor: line, zerolinecolor: line, linecolor: soft, title: titled(name, axis.title) });
    }
    const bar = layout.coloraxis?.colorbar;
    if (bar) Object.assign(bar, { len: small ? 0.85 : 0.5, tickfont: { size: small ? 10 : 12 } });
  }

  // The figure as it is to be seen now: the traces of the chosen view with that view's values, switched on or off.
  function composed(chart) {
    const layout = structuredClone(chart.layout);
    delete layout.meta;
    for (const [path, value] of Object.entries(chart.options[chart.view]?.layout ?? {})) assign(layout, path, value);
    look(chart, layout);
    const { ink } = colours();
    const width = printing ? PRINTED_WIDTH : chart.plot.clientWidth;
    const data = [];
    chart.data.forEach(({ meta, ...trace }, number) => {
      if (meta?.view !== undefined) {
        if (meta.view !== chart.view) return;
        trace.visible = true;
      }
      Object.assign(trace, chart.view ? meta?.views?.[chart.view - 1] : null);
      if (meta?.group !== undefined) trace.visible = !chart.off.has(number);
      for (const part of ["line", "marker"]) if (trace[part]?.color === INK) trace[part] = { ...trace[part], color: ink };
      if (trace.texttemplate && width / (trace.x.length + 2) < 40) delete trace.texttemplate; // cells narrower than text
      data.push(trace);
    });
    return [data, layout];
  }

  function assign(layout, path, value) {
    const keys = path.split(".");
    const last = keys.pop();
    keys.reduce((part, key) => (part[key] ??= {}), layout)[last] = value;
  }

  function show(chart) {
    const [data, layout] = composed(chart);
    Plotly.react(chart.plot, data, layout, { ...CONFIG, modeBarButtons: BUTTONS });
    chart.plot.querySelectorAll("svg.main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
  }

  // Its data are read while Plotly is.
  async function draw(figure) {
    const [text] = await Promise.all([given(figure.dataset.script), load()]);
    if (charts.has(figure)) return;
    const plot = figure.querySelector(".plot");
    const { data, layout } = JSON.parse(text, unpacked);
    const { views, switches } = layout.meta ?? {};
    const chart = { figure, plot, data, layout, options: views?.options ?? [], view: 0, off: new Set() };
    charts.set(figure, chart);
    plot.replaceChildren();
    show(chart);
    if (views) offerViews(chart, views);
    if (switches) offerSwitches(chart, switches);
    figure.dataset.drawn = "";
  }

  function showView(chart, number) {
    chart.view = number;
    show(chart);
  }

  function offerViews(chart, { label, options }) {
    const controls = chart.figure.querySelector(".controls.above");
    const title = `${label}: ${chart.figure.querySelector("h3").textContent}`;
    if (options.length > 3) {
      const select = element("select", { "aria-label": title });
      options.forEach(({ name }, number) => select.append(element("option", { value: number }, name)));
      select.addEventListener("change", () => {
        const number = Number(select.value);
        showView(chart, number);
      });
      const named = element("label", {}, `${label} `);
      named.append(select);
      controls.append(named);
      return;
    }
    const buttons = element("div", { role: "group", "aria-label": title, class: "controls" });
    options.forEach(({ name }, number) => {
      const button = element("button", { type: "button", "aria-pressed": String(number === 0) }, name);
      button.addEventListener("click", () => {
        showView(chart, number);
        for (const other of buttons.children) other.setAttribute("aria-pressed", String(other === button));
      });
      buttons.append(button);
    });
    controls.append(element("span", { "aria-hidden": "true", class: "soft" }, label), buttons);
  }

  function offerSwitches(chart, { label }) {
    const groups = new Map();
    chart.data.forEach(({ meta }, number) => {
      if (meta?.group !== undefined) groups.set(meta.group, [...(groups.get(meta.group) ?? []), number]);
    });
    const fieldset = element("fieldset");
    fieldset.append(element("legend", {}, label));
    const boxes = new Map();
    const parents = [];
    const refresh = (numbers) => {
      for (const number of numbers) boxes.get(number).checked = !chart.off.has(number);
      for (const { box, members } of parents) {
        const on = members.filter((number) => !chart.off.has(number)).length;
        box.checked = on > 0;
        box.indeterminate = on > 0 && on < members.length;
      }
    };
    const turn = (numbers, on) => {
      for (const number of numbers) on ? chart.off.delete(number) : chart.off.add(number);
      refresh(numbers);
      if (numbers.length) Plotly.restyle(chart.plot, { visible: on }, numbers); // which keeps what was zoomed into
    };
    const all = [...groups.values()].flat();
    for (const [name, on] of [["All", true], ["None", false]]) {
      const button = element("button", { type: "button", "aria-label": `${name}: ${label}` }, name);
      button.addEventListener("click", () => turn(all, on));
      fieldset.append(button);
    }
    const folded = all.length > MOST_SWITCHES;
    for (const [name, members] of groups) {
      const row = element("div", { class: "group" });
      const marked = Boolean(chart.data[members[0]].line); // a line is its group's, a sign is a trace's own
      const [first] = members;
      if (members.length === 1) {
        const { label: member } = chart.data[first].meta;
        const box = checkbox(chart, member === name ? name : `${name}, ${member}`, first, true);
        box.addEventListener("change", () => turn(members, box.checked));
        boxes.set(first, box);
        row.append(box.parentElement);
      } else {
        const box = checkbox(chart, name, first, marked);
        box.addEventListener("change", () => turn(members, box.checked));
        parents.push({ box, members });
        const list = members.map((number) => {
          const { label: member } = chart.data[number].meta;
          const each = checkbox(chart, member, number, !marked);
          each.setAttribute("aria-label", `${name}, ${member}`);
          each.addEventListener("change", () => turn([number], each.checked));
          boxes.set(number, each);
          return each.parentElement;
        });
        row.append(box.parentElement, folded ? details(`${members.length}`, `Each of ${name}`, list) : inline(list));
      }
      fieldset.append(row);
    }
    refresh(all);
    chart.figure.querySelector(".controls.below").append(fieldset);
  }

  function checkbox(chart, text, number, marked) {
    const label = element("label");
    const box = element("input", { type: "checkbox" });
    label.append(box, ...(marked ? [swatch(chart.data[number])] : []), element("span", {}, text));
    return box;
  }

  function inline(parts) {
    const box = element("span", { class: "members" });
    box.append(...parts);
    return box;
  }

  function details(summary, name, parts) {
    const folded = element("details");
    folded.append(element("summary", { "aria-label": name }, summary), inline(parts));
    return folded;
  }

  // The sign of a trace as its legend would have it; ink follows the text.
  function swatch({ mode, line, marker }) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const attributes = { width: 22, height: 14, "aria-hidden": "true" };
    for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
    const lines = mode?.includes("lines");
    const colour = (lines ? line?.color : marker?.color) ?? INK;
    const sign = document.createElementNS("http://www.w3.org/2000/svg", lines ? "line" : "text");
    const shape = lines
      ? { x1: 0, x2: 22, y1: 7, y2: 7, "stroke-width": 3, "stroke-dasharray": DASHES[line.dash] ?? "none" }
      : { x: 11, y: 12, "text-anchor": "middle", "font-size": 14 };
    const painted = { ...shape, [lines ? "stroke" : "fill"]: colour === INK ? "currentColor" : colour };
    for (const [name, value] of Object.entries(painted)) sign.setAttribute(name, value);
    if (!lines) sign.textContent = MARKS[marker?.symbol] ?? "●";
    svg.append(sign);
    return svg;
  }

  function element(tag, attributes = {}, text = "") {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    return made;
  }

  function refreshAll() {
    for (const chart of charts.values()) show(chart);
  }

  function fail(figure, error) {
    console.error(error);
    if (charts.has(figure)) throw error;
    figure.querySelector(".plot").replaceChildren(element("p", { class: "soft" }, FAILED));
  }

  for (const figure of figures) {
    const plot = figure.querySelector(".plot");
    plot.style.height = `${plot.dataset.height}px`; // before anything is drawn, so that nothing moves then
  }
  const drawn = (figure) => draw(figure).catch((error) => fail(figure, error));
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      drawn(target);
    }
  }, { rootMargin: "200px" });
  figures.forEach((figure) => watcher.observe(figure));
  beforePrinting.push(() => Promise.all(figures.map(drawn))); // of the page's own button: the browser's cannot wait
  addEventListener("beforeprint", () => {
    printing = true;
    refreshAll();
  });
  addEventListener("afterprint", () => {
    printing = false;
    refreshAll();
  });
  dark.addEventListener("change", refreshAll);
  narrow.addEventListener("change", refreshAll);
})();
