"use strict";
// The equity curve as one SVG: filled line, what it sank below its own peak in red, a crosshair that reads it out.

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, parent, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.appendChild(element);
  return element;
}

// Round numbers (1, 2, 5 × 10ⁿ) that divide [low, high] into about `count` parts.
function roundTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) || 10);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440, 2880, 10080, 43200, 525600];

function drawEquity(box, points, format) {
  box.replaceChildren();
  if (points.length < 2) {
    box.append(Object.assign(document.createElement("p"), { className: "empty", textContent: "The curve begins with the second minute." }));
    return;
  }
  const width = Math.max(260, box.clientWidth), height = box.clientHeight;
  const values = points.map((p) => p[1]);
  let low = Math.min(...values), high = Math.max(...values);
  // A flat account must not look dramatic: at least two basis points are always in view.
  const room = Math.max((high - low) * 0.08, ((low + high) / 2) * 0.0001, 1e-9);
  low -= room; high += room;
  const { ticks, digits } = roundTicks(low, high, 4);
  const labels = ticks.map((t) => t.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const left = 14 + Math.max(...labels.map((l) => l.length)) * 6.4, right = width - 6, top = 8, bottom = height - 22;
  const first = points[0][0], last = points[points.length - 1][0];
  const x = (ms) => left + ((ms - first) / (last - first || 1)) * (right - left);
  const y = (v) => bottom - ((v - low) / (high - low)) * (bottom - top);

  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Equity over time" }, box);
  const fade = shape("linearGradient", { id: "under", x1: 0, y1: 0, x2: 0, y2: 1 }, shape("defs", {}, svg));
  shape("stop", { offset: 0, "stop-color": "#4cc9b0", "stop-opacity": 0.26 }, fade);
  shape("stop", { offset: 1, "stop-color": "#4cc9b0", "stop-opacity": 0 }, fade);
  ticks.forEach((tick, i) => {
    shape("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }, svg);
    shape("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, svg, labels[i]);
  });
  const step = TIME_STEPS.find((minutes) => ((last - first) / minutes / 60000) * 80 <= right - left) * 60000;
  for (let ms = Math.ceil(first / step) * step; ms <= last; ms += step) {
    if (x(ms) < left + 16 && ms !== first) continue;
    const anchor = x(ms) > right - 18 ? "end" : x(ms) < left + 16 ? "start" : "middle";
    shape("text", { x: x(ms), y: height - 5, "text-anchor": anchor }, svg, format.time(ms, last - first));
  }
  const path = points.map((p, i) => `${i ? "L" : "M"}${x(p[0]).toFixed(1)} ${y(p[1]).toFixed(1)}`).join("");
  let peak = -Infinity;
  const peaks = points.map((p) => (peak = Math.max(peak, p[1])));
  const crest = points.map((p, i) => `L${x(p[0]).toFixed(1)} ${y(peaks[i]).toFixed(1)}`).reverse().join("");
  shape("path", { class: "under", d: `${path}L${x(last)} ${bottom}L${x(first)} ${bottom}Z` }, svg);
  shape("path", { class: "sunk", d: `${path}${crest}Z` }, svg);
  shape("path", { class: "curve", d: path }, svg);

  const cross = shape("line", { class: "cross", y1: top, y2: bottom, visibility: "hidden" }, svg);
  const spot = shape("circle", { class: "spot", r: 4.5, cx: x(last), cy: y(values[values.length - 1]) }, svg);
  const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
  box.append(tip);
  svg.addEventListener("pointermove", (event) => {
    const at = first + ((event.offsetX - left) / (right - left)) * (last - first);
    let near = 0;
    points.forEach((p, i) => { if (Math.abs(p[0] - at) < Math.abs(points[near][0] - at)) near = i; });
    const [ms, value] = points[near], px = x(ms);
    cross.setAttribute("x1", px); cross.setAttribute("x2", px); cross.setAttribute("visibility", "visible");
    spot.setAttribute("cx", px); spot.setAttribute("cy", y(value));
    const sunk = value / peaks[near] - 1;
    tip.hidden = false;
    tip.style.left = `${Math.min(Math.max(px, left + 70), right - 70)}px`;
    tip.replaceChildren(
      Object.assign(document.createElement("b"), { textContent: format.money(value) }),
      `${format.day(ms)} ${format.hm(ms)}${sunk < -1e-6 ? ` · ${(sunk * 100).toFixed(2)}% from peak` : ""}`,
    );
  });
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
    cross.setAttribute("visibility", "hidden");
    spot.setAttribute("cx", x(last)); spot.setAttribute("cy", y(values[values.length - 1]));
  });
}
