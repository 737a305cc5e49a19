// Charts as SVG, drawn at the width there is and in the colours of the style sheet; each has a table with the same figures.
// Plotly, which a wheel ships, was tried first: it writes style attributes, which the content security policy
// forbids, and is 4.8 MB for three kinds of charts.
import { h } from "./app.js";

const SPACE = "http://www.w3.org/2000/svg";
const LEFT = 46;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 26;

function s(name, attributes = {}, ...children) {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** A figure that `draw(width)` fills with an SVG, again whenever its width changes. */
function figure(label, height, draw, ...below) {
  const place = h("div");
  let drawn = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (!width || width === drawn) return;
    drawn = width;
    place.replaceChildren(s("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label }, ...draw(width, height)));
  }).observe(place);
  return h("figure", { class: "chart" }, place, ...below);
}

/** A text at a place; anchor: start, middle or end. */
const text = (x, y, content, anchor = "start", className = "") => s("text", { x, y, "text-anchor": anchor, class: className }, content);
const line = (x1, y1, x2, y2, className) => s("line", { x1, y1, x2, y2, class: className });

/** Round numbers from 0 to what is at least `most`, few of them. */
function ticks(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1));
  const step = [0.25, 0.5, 1, 2, 5].map((each) => each * power).find((each) => most / each <= 4) ?? power * 10;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, index) => index * step);
}

/** Columns above a line for one kind and below it for the other: rows of {name, up, down}. */
export function columns(label, rows, { names: [up, down], format }) {
  const most = Math.max(1, ...rows.map((row) => Math.max(row.up, row.down)));
  return figure(label, 250, (width, height) => {
    const middle = TOP + (height - TOP - BOTTOM) / 2;
    const unit = (height - TOP - BOTTOM) / 2 / most;
    const step = (width - LEFT - RIGHT) / rows.length;
    const parts = [];
    for (const tick of ticks(most).filter((each) => Number.isInteger(each) && each <= most)) {
      for (const y of tick ? [middle - tick * unit, middle + tick * unit] : [middle]) {
        parts.push(line(LEFT, y, width - RIGHT, y, tick ? "grid" : "axis"), text(LEFT - 8, y + 4, format(tick), "end"));
      }
    }
    rows.forEach((row, index) => {
      const wide = Math.min(24, Math.max(1, step * 0.72));
      const shape = { x: LEFT + (index + 0.5) * step - wide / 2, width: wide, rx: Math.min(2, step / 4) };
      parts.push(s("g", {}, s("title", {}, `${row.name}: ${format(row.up)} ${up}, ${format(row.down)} ${down}`),
        s("rect", { ...shape, y: middle - row.up * unit, height: row.up * unit, class: "up" }),
        s("rect", { ...shape, y: middle, height: row.down * unit, class: "down" }),
        s("rect", { x: LEFT + index * step, y: TOP, width: step, height: height - TOP - BOTTOM, fill: "transparent" })));
    });
    for (const index of [0, Math.floor(rows.length / 2), rows.length - 1]) {
      const anchor = index === 0 ? "start" : index === rows.length - 1 ? "end" : "middle";
      parts.push(text(anchor === "start" ? LEFT : anchor === "end" ? width - RIGHT : LEFT + (index + 0.5) * step, height - 6, rows[index].name, anchor));
    }
    return parts;
  }, h("ul", { class: "legend" }, h("li", { class: "is-positive" }, `▲ ${up}, above the line`), h("li", { class: "is-negative" }, `▼ ${down}, below it`)));
}

// Each series has a shape of its own, so that colour is not all that tells them apart.
const SHAPES = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
  "M-3.6-3.6h7.2v7.2h-7.2z",
  "M0-4.8 4.6 3.6h-9.2z",
  "M0-5 5 0 0 5-5 0z",
  "M0 4.8 4.6-3.6h-9.2z",
  "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
];

/**
 * Lines over checks: series of {name, values}, with null where there is none; names: of the checks, along the x axis.
 * limit: {value, name} of a line across. log: the y axis is logarithmic, down to `floor`.
 */
export function lines(label, names, series, { limit, log = false, floor = 1e-12, format }) {
  const values = series.flatMap((each) => each.values).filter((value) => value !== null);
  const most = Math.max(limit.value * 1.25, ...values);
  const tickValues = log ? [1, 1e-3, 1e-6, 1e-9, 1e-12] : ticks(most);
  const top = log ? 0 : tickValues.at(-1);
  const share = log
    ? (value) => 1 - Math.log10(Math.max(value, floor)) / Math.log10(floor)
    : (value) => value / top;
  const readout = h("p", { class: "readout" });
  const legend = h("ul", { class: "legend" });
  const read = (index) => {
    readout.textContent = names.length ? `Check ${names[index]}` : "";
    legend.replaceChildren(...series.map((each, number) => h("li", { class: `s${number + 1}` },
      s("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, s("path", { d: SHAPES[number] })),
      each.name, h("b", {}, each.values[index] === null ? "–" : format(each.values[index])))));
  };
  read(names.length - 1);
  return figure(label, 240, (width, height) => {
    const x = (index) => (names.length < 2 ? (LEFT + width - RIGHT) / 2 : LEFT + 6 + (index * (width - LEFT - RIGHT - 12)) / (names.length - 1));
    const y = (value) => TOP + (1 - share(value)) * (height - TOP - BOTTOM);
    const parts = tickValues.flatMap((tick) => {
      const name = text(LEFT - 8, y(tick) + 4, format(tick).replace("1 · ", ""), "end");
      return [line(LEFT, y(tick), width - RIGHT, y(tick), "grid"), name];
    });
    const cursor = line(0, TOP, 0, height - BOTTOM, "cursor");
    cursor.setAttribute("visibility", "hidden");
    parts.push(cursor);
    series.forEach((each, number) => {
      const points = each.values.map((value, index) => (value === null ? null : [x(index), y(value)]));
      const path = points.map((point, index) => (point ? `${points[index - 1] ? "L" : "M"}${point[0]} ${point[1]}` : "")).join("");
      parts.push(s("g", { class: `s${number + 1}` }, s("path", { d: path, class: "line" }),
        ...points.filter(Boolean).map(([left, down]) => s("path", { d: SHAPES[number], transform: `translate(${left} ${down})`, class: "mark" }))));
    });
    parts.push(line(LEFT, y(limit.value), width - RIGHT, y(limit.value), "limit"), text(LEFT + 6, y(limit.value) + (log ? 16 : -6), limit.name, "start", "limit-name"));
    for (const index of new Set([0, names.length - 1])) parts.push(text(x(index), height - 6, names[index], names.length < 2 ? "middle" : index ? "end" : "start"));
    const pointed = s("rect", { x: LEFT, y: TOP, width: width - LEFT - RIGHT, height: height - TOP - BOTTOM, fill: "transparent" });
    pointed.addEventListener("pointermove", (event) => {
      const left = event.clientX - pointed.ownerSVGElement.getBoundingClientRect().left;
      const index = names.reduce((best, _, each) => (Math.abs(x(each) - left) < Math.abs(x(best) - left) ? each : best), 0);
      cursor.setAttribute("x1", x(index));
      cursor.setAttribute("x2", x(index));
      cursor.setAttribute("visibility", "visible");
      read(index);
    });
    pointed.addEventListener("pointerleave", () => {
      cursor.setAttribute("visibility", "hidden");
      read(names.length - 1);
    });
    return [...parts, pointed];
  }, readout, legend);
}

/** What share is positive (y) of texts with a probability (x), both from 0 to 1; a dot's area goes with its texts. */
export function calibration(label, bins, { format }) {
  const used = bins.filter((bin) => bin.texts);
  const most = Math.max(...used.map((bin) => bin.texts));
  return figure(label, 280, (width, height) => {
    const x = (share) => LEFT + share * (width - LEFT - RIGHT);
    const y = (share) => TOP + (1 - share) * (height - TOP - BOTTOM - 14);
    const parts = [0, 0.25, 0.5, 0.75, 1].flatMap((tick) => [
      line(x(0), y(tick), x(1), y(tick), "grid"), text(LEFT - 8, y(tick) + 4, format(tick), "end"),
      text(x(tick), y(0) + 18, format(tick), tick === 1 ? "end" : "middle"),
    ]);
    parts.push(line(x(0), y(0), x(1), y(1), "ideal"));
    parts.push(s("path", { d: used.map((bin, index) => `${index ? "L" : "M"}${x(bin.mean_probability)} ${y(bin.share_positive)}`).join(""), class: "curve" }));
    for (const bin of used) {
      const dot = s("circle", { cx: x(bin.mean_probability), cy: y(bin.share_positive), r: 3 + 5 * Math.sqrt(bin.texts / most), class: "dot" });
      dot.append(s("title", {}, `${format(bin.mean_probability)} said, ${format(bin.share_positive)} are positive, of ${bin.texts} texts`));
      parts.push(dot);
    }
    parts.push(text(LEFT, height - 2, "probability that it says"), text(LEFT + 8, TOP + 6, "share that is positive"));
    return parts;
  });
}
