(() => {
  "use strict";
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.documentElement;
  const plots = new Map();
  document.querySelectorAll(".plot").forEach((box) => plots.set(box.dataset.figure, box));
  const isTouch = matchMedia("(hover: none)").matches;
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: isTouch ? false : "hover",
    modeBarButtons: [["toImage", "resetScale2d"]],
  };

  // Colours are written as "--name" in the figures and looked up when they are drawn.
  function coloured(value, style) {
    if (typeof value === "string") {
      return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
  }

  function draw(name) {
    const figure = coloured(page.figures[name], getComputedStyle(root));
    if (isTouch) figure.layout.dragmode = false;
    return Plotly.react(plots.get(name), figure.data, figure.layout, config);
  }

  function drawAll() {
    return Promise.all([...plots.keys()].map(draw));
  }

  // Pictures instead of points: the cells of a grid show the row nearest to their centre.
  function nearestRows({ xaxis, yaxis }, columns, lines) {
    const points = page.figures.codes.data[0];
    const place = (value, [first, last], count) => ((value - first) / (last - first)) * count;
    const cells = new Map();
    for (const [point, tile] of page.sprite.tiles) {
      if (points.x[point] === null || points.y[point] === null) continue;
      const across = place(points.x[point], xaxis.range, columns);
      const up = place(points.y[point], yaxis.range, lines);
      const [column, line] = [Math.floor(across), Math.floor(up)];
      const distance = Math.hypot(across - column - 0.5, up - line - 0.5);
      const key = line * columns + column;
      if (!(cells.get(key)?.distance <= distance)) cells.set(key, { column, line, tile, distance });
    }
    return [...cells.values()];
  }

  function pictureImages({ _size: size, xaxis, yaxis }) {
    const { sprite } = page;
    const sheet = document.getElementById("sprite");
    const canvas = document.createElement("canvas");
    canvas.width = sprite.width;
    canvas.height = sprite.height;
    const pen = canvas.getContext("2d");
    const columns = Math.max(4, Math.round(size.w / 36));
    const lines = Math.max(4, Math.round(size.h / 36));
    const wide = (xaxis.range[1] - xaxis.range[0]) / columns;
    const high = (yaxis.range[1] - yaxis.range[0]) / lines;
    return nearestRows({ xaxis, yaxis }, columns, lines).map(({ column, line, tile }) => {
      pen.clearRect(0, 0, sprite.width, sprite.height);
      pen.drawImage(sheet, (tile % sprite.across) * sprite.width,
        Math.floor(tile / sprite.across) * sprite.height, sprite.width, sprite.height,
        0, 0, sprite.width, sprite.height);
      return {
        source: canvas.toDataURL(), xref: "x", yref: "y", layer: "above",
        x: xaxis.range[0] + (column + 0.5) * wide, xanchor: "center", sizex: 0.92 * wide,
        y: yaxis.range[0] + (line + 0.5) * high, yanchor: "middle", sizey: 0.92 * high,
      };
    });
  }

  function showPictures(shown) {
    const figure = page.figures.codes;
    figure.layout.images = [];
    figure.data[0].marker.opacity = shown ? 0.15 : 0.85;
    return draw("codes").then((box) => {
      if (!shown) return box;
      figure.layout.images = pictureImages(box._fullLayout);
      return draw("codes");
    });
  }

  document.querySelectorAll(".switch").forEach((bar) => {
    bar.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      bar.querySelectorAll("button").forEach((other) =>
        other.setAttribute("aria-pressed", String(other === button)));
      const { pictures, visible, ...parts } = JSON.parse(button.dataset.setting);
      if (pictures !== undefined) {
        showPictures(pictures);
        return;
      }
      const { data, layout } = page.figures[bar.dataset.for];
      visible?.forEach((shown, place) => { data[place].visible = shown; });
      Object.entries(parts).forEach(([part, options]) => Object.assign(layout[part], options));
      draw(bar.dataset.for);
    });
  });

  // A hovered point shows its row's picture, cut from the one sheet of thumbnails.
  function showTips() {
    if (!page.sprite) return;
    const tip = document.getElementById("tip");
    const sheet = document.getElementById("sprite");
    const sprite = page.sprite;
    const tiles = new Map(sprite.tiles);
    const zoom = Math.max(1, Math.floor(96 / Math.max(sprite.width, sprite.height)));
    const box = plots.get("codes");
    box.on("plotly_hover", ({ points: [point], event }) => {
      tip.textContent = "";
      const tile = tiles.get(point.pointNumber);
      if (tile !== undefined) {
        const image = tip.appendChild(document.createElement("i"));
        const width = sprite.width * zoom;
        const height = sprite.height * zoom;
        image.style.cssText = `width:${width}px;height:${height}px;` +
          `background:url(${sheet.src}) -${(tile % sprite.across) * width}px ` +
          `-${Math.floor(tile / sprite.across) * height}px / ${sprite.across * width}px auto`;
      }
      const [row, error] = point.customdata;
      tip.append(`row ${row} · error ${error === null ? "–" : error.toPrecision(3)}`);
      tip.hidden = false;
      const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
      const over = event.clientY + 14 + tip.offsetHeight > innerHeight - 8;
      tip.style.left = Math.max(8, left) + "px";
      tip.style.top = event.clientY + (over ? -14 - tip.offsetHeight : 14) + "px";
    });
    box.on("plotly_unhover", () => { tip.hidden = true; });
  }

  function offerCopy() {
    const button = document.getElementById("copy");
    const code = document.getElementById("snippet");
    if (!button) return;  // pages of what was not saved have nothing to load
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        const field = document.body.appendChild(document.createElement("textarea"));
        field.value = code.textContent;
        field.select();
        document.execCommand("copy");
        field.remove();
        button.focus();
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  function markSection() {
    const links = new Map([...document.querySelectorAll("nav a")].map((link) =>
      [link.hash.slice(1), link]));
    const sections = [...document.querySelectorAll("main section")];
    const mark = () => {
      const atEnd = innerHeight + scrollY >= document.body.scrollHeight - 2;
      const above = sections.filter((part) => part.getBoundingClientRect().top < 120);
      const current = atEnd && scrollY > 0 ? sections.at(-1) : above.at(-1);
      links.forEach((link) => link.removeAttribute("aria-current"));
      if (current) links.get(current.id).setAttribute("aria-current", "true");
    };
    addEventListener("scroll", mark, { passive: true });
    mark();
  }

  offerCopy();
  markSection();
  drawAll().then(showTips);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { root.dataset.scheme = "light"; drawAll(); });
  addEventListener("afterprint", () => { delete root.dataset.scheme; drawAll(); });
})();
