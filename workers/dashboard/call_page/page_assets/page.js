"use strict";
(() => {
  const audio = document.querySelector("audio");
  const timeline = document.querySelector(".timeline");
  const scroller = document.querySelector(".scroller");
  const track = document.querySelector(".track");
  const playhead = document.querySelector(".playhead");
  const zoom = document.querySelector(".zoom");
  const callS = Number(track.dataset.callS);
  const rows = [...document.querySelectorAll("tr.turn")].map((row) => ({
    row,
    bar: document.querySelector(`.bars .turn[data-turn="${row.dataset.turn}"]`),
    from: Number(row.dataset.from),
    until: Number(row.dataset.until),
  }));

  const clock = (seconds) => {
    const tenths = Math.round(seconds * 10);
    const rest = tenths % 600;
    return `${Math.floor(tenths / 600)}:${String(Math.floor(rest / 10)).padStart(2, "0")}.${rest % 10}`;
  };
  const timeUnder = (event) => {
    const box = track.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * callS;
  };

  // Zoom: labels vanish where they would lie on top of each other.
  const crowd = () => timeline.classList.toggle("crowded", track.clientWidth / callS < 6);
  const magnify = (factor) => {
    const fit = scroller.clientWidth;
    const middle = (scroller.scrollLeft + fit / 2) / track.clientWidth;
    const width = factor ? Math.min(Math.max(track.clientWidth * factor, fit), callS * 200) : fit;
    track.style.setProperty("--zoomed", `${width}px`);
    scroller.scrollLeft = middle * track.clientWidth - fit / 2;
    crowd();
  };
  zoom.hidden = false;
  zoom.addEventListener("click", (event) => {
    if (event.target.dataset.zoom) magnify(Number(event.target.dataset.zoom));
  });
  new ResizeObserver(crowd).observe(scroller);
  crowd();

  // The time under the pointer.
  const hover = document.createElement("div");
  hover.className = "hover";
  hover.hidden = true;
  hover.append(document.createElement("b"));
  track.append(hover);
  track.addEventListener("pointermove", (event) => {
    const seconds = timeUnder(event);
    hover.hidden = event.pointerType === "touch";
    hover.style.left = `${(100 * seconds) / callS}%`;
    hover.firstChild.textContent = clock(seconds);
  });
  track.addEventListener("pointerleave", () => { hover.hidden = true; });

  if (!audio) {
    track.style.cursor = "default";
    for (const button of document.querySelectorAll(".at button")) button.disabled = true;
    return;
  }
  document.body.classList.add("sounding");

  // A long transcript has a box of its own: what is said stays in sight there, and nothing else moves.
  const box = document.querySelector(".box:has(.transcript)");
  const reveal = (row) => {
    if (!box || audio.paused) return;
    const top = row.offsetTop - box.scrollTop;
    if (top < 40 || top + row.offsetHeight > box.clientHeight) box.scrollTop = row.offsetTop - 80;
  };
  const show = () => {
    const now = audio.currentTime;
    const share = Math.min(now / callS, 1);
    playhead.style.left = `${100 * share}%`;
    const started = audio.currentTime > 0;
    for (const { row, bar, from, until } of rows) {
      const speaks = started && from <= now && now < until;
      if (speaks && !row.classList.contains("now")) reveal(row);
      row.classList.toggle("now", speaks);
      if (bar) bar.classList.toggle("now", speaks);
    }
    if (audio.paused) return;
    const x = share * track.clientWidth;
    const seen = scroller.clientWidth;
    if (x < scroller.scrollLeft || x > scroller.scrollLeft + seen - 20) scroller.scrollLeft = x - 40;
    requestAnimationFrame(show);
  };
  const seek = (seconds) => {
    audio.currentTime = Math.min(seconds, audio.duration || seconds);
    show();
  };
  audio.addEventListener("play", show);
  audio.addEventListener("pause", show);
  audio.addEventListener("seeked", show);
  track.addEventListener("click", (event) => seek(timeUnder(event)));
  for (const button of document.querySelectorAll(".at button")) {
    button.title = "Listen from here";
    button.addEventListener("click", () => { seek(Number(button.dataset.at)); audio.play(); });
  }
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === " ") { if (audio.paused) audio.play(); else audio.pause(); }
    else if (event.key === "ArrowLeft") seek(Math.max(0, audio.currentTime - 5));
    else if (event.key === "ArrowRight") seek(audio.currentTime + 5);
    else return;
    event.preventDefault();
  });
})();
