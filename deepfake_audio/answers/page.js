"use strict";
for (const part of document.querySelectorAll("article")) {
  const audio = part.querySelector("audio"), head = part.querySelector(".playhead");
  const picture = part.querySelector("svg.timeline");
  if (!audio || !picture) continue;
  const seconds = Number(picture.dataset.seconds);
  let stop = Infinity;
  const place = () => {
    const at = (100 * Math.min(1, audio.currentTime / seconds)) + "%";
    head.setAttribute("x1", at);
    head.setAttribute("x2", at);
  };
  const play = (start, end) => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    audio.currentTime = start;
    stop = end;
    place();
    audio.play().catch(() => {});
  };
  const act = (event) => {
    const segment = event.target.closest("[data-start]");
    if (segment) {
      play(Number(segment.dataset.start), Number(segment.dataset.end));
    } else if (event.type === "click" && event.target.closest("svg.timeline")) {
      const box = picture.getBoundingClientRect();
      play(seconds * (event.clientX - box.left) / box.width, Infinity);
    } else return;
    event.preventDefault();
  };
  part.addEventListener("click", act);
  part.addEventListener("keydown", (event) => {
    if (event.target.closest("rect") && (event.key === "Enter" || event.key === " ")) act(event);
  });
  audio.addEventListener("timeupdate", () => {
    place();
    if (audio.currentTime >= stop) { audio.pause(); stop = Infinity; }
  });
  audio.addEventListener("seeking", place);
}
if (window.parent !== window) {
  const tell = () => window.parent.postMessage({ reportHeight: document.body.scrollHeight }, "*");
  new ResizeObserver(tell).observe(document.body);
}
