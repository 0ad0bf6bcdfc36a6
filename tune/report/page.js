"use strict";
// Draws the figures when they come near the screen, in the colours of the reader's scheme; sorts tables on a click.

const boxes = [...document.querySelectorAll(".figure")];
const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const small = () => window.innerWidth < 620;

async function library() {
  const packed = Uint8Array.from(atob(document.getElementById("library").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function dressed(layout) {
  const ink = tone("--ink"), grid = tone("--grid"), quiet = tone("--quiet");
  const worn = { ...layout, font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: quiet } };
  worn.hoverlabel = { bgcolor: tone("--card"), bordercolor: tone("--line"), font: { color: ink } };
  worn.legend = { ...layout.legend, bgcolor: "rgba(0,0,0,0)" };
  worn.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
  if (small()) worn.margin = { ...layout.margin, l: 52, r: 8 };
  for (const key of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
    worn[key] = { gridcolor: grid, linecolor: grid, zerolinecolor: tone("--line"), automargin: true, ...layout[key] };
  }
  return worn;
}

function draw(box) {
  if (box.dataset.drawn) return;
  box.dataset.drawn = "yes";
  const figure = JSON.parse(box.querySelector("script").textContent);
  const sheet = box.appendChild(document.createElement("div"));
  box.figure = { sheet, layout: figure.layout };
  if (small()) for (const trace of figure.data) if (trace.mode === "text") trace.textfont = { size: 9.5 };
  const config = { responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset" };
  Plotly.newPlot(sheet, figure.data, dressed(figure.layout), config);
}

function redress() {
  for (const { figure } of boxes) if (figure) Plotly.relayout(figure.sheet, dressed(figure.layout));
}

function sort(head) {
  const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
  const down = head.getAttribute("aria-sort") !== "descending";
  const key = (row) => {
    const cell = row.cells[column];
    return cell.dataset.by === undefined ? cell.textContent : Number(cell.dataset.by);
  };
  const rows = [...body.rows].map((row) => [key(row), row]);
  const missing = (value) => Number.isNaN(value);
  rows.sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
  });
  body.append(...rows.map(([, row]) => row));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
}

for (const head of document.querySelectorAll(".sortable thead th")) {
  head.tabIndex = 0;
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    sort(head);
  });
}

library().then(() => {
  const eye = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) draw(target);
  }, { rootMargin: "600px" });
  boxes.forEach((box) => eye.observe(box));
  addEventListener("beforeprint", () => boxes.forEach(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redress);
}).catch((error) => {
  for (const box of boxes) box.append("This browser cannot unpack the charts; a current one can. The tables are whole.");
  console.error(error);
});
