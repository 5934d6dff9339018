// The page is complete without this script. It adds a slider through the sheets, and values under the pointer.
"use strict";
const show = (v) => {
  const size = Math.abs(v);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) return v.toExponential(1).replace(".0e", "e");
  return size >= 100 ? Math.round(v).toLocaleString("en") : String(+v.toPrecision(3));
};

const film = document.querySelector(".film");
if (film) {
  const figures = [...film.children];
  const [slider, play, at] = ["input", "button", ".at"].map((s) => document.querySelector(".time " + s));
  const go = (i) => {
    slider.value = i;
    figures.forEach((f, k) => f.classList.toggle("on", k === i));
    at.textContent = figures[i].dataset.at;
    slider.setAttribute("aria-valuetext", figures[i].dataset.at);
  };
  let timer = 0;
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  slider.max = figures.length - 1;
  slider.addEventListener("input", () => { stop(); go(+slider.value); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Stop";
    let i = +slider.value >= figures.length - 1 ? 0 : +slider.value;
    go(i);
    timer = setInterval(() => { go(++i); if (i >= figures.length - 1) stop(); }, 700);
  });
  film.addEventListener("click", () => film.classList.toggle("full"));
  document.documentElement.classList.add("js");
  document.querySelector(".time").hidden = figures.length < 2;
  go(figures.length - 1);
}

for (const chart of document.querySelectorAll(".chart")) {
  const { end, low, high, log } = chart.dataset;
  const value = (y) => { const t = 1 - y / 300; return +log ? low * (high / low) ** t : +low + (high - low) * t; };
  const lines = [...chart.querySelectorAll(".line")].map((p) =>
    [...p.getAttribute("d").matchAll(/[ML](\S+?) ([\d.-]+)/g)].map((m) => [+m[1], +m[2]]));
  const labels = [...chart.querySelectorAll(".legend b")];
  const hint = chart.querySelector("figcaption small");
  const before = [hint.textContent, ...labels.map((l) => l.textContent)];
  const frame = chart.querySelector(".frame");
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  frame.addEventListener("pointermove", (e) => {
    const box = frame.getBoundingClientRect();
    const part = Math.min(Math.max((e.clientX - box.left) / box.width, 0), 1);
    cursor.style.left = 100 * part + "%";
    frame.append(cursor);
    hint.textContent = Math.round(part * end).toLocaleString("en") + " images";
    lines.forEach((line, i) => {
      const near = line.reduce((a, b) => (Math.abs(b[0] - part * 1000) < Math.abs(a[0] - part * 1000) ? b : a));
      labels[i].textContent = show(value(near[1]));
    });
  });
  frame.addEventListener("pointerleave", () => {
    cursor.remove();
    [hint, ...labels].forEach((e, i) => { e.textContent = before[i]; });
  });
}
