// The page's player and its drop zone. A link "#moment/<stream>/<t_ns>" anywhere on the page plays that instant.
(() => {
  "use strict";
  const by = (id) => document.getElementById(id);
  let turn = 0; // only the newest choice may touch the player
  let shown = null; // the moment that the player stands in

  const say = (id, words) => {
    by(id).textContent = words;
    by(id).hidden = !words;
  };

  function still(moment, why) {
    const video = by("mn-video");
    video.pause();
    video.hidden = true;
    const picture = by("mn-still");
    picture.hidden = !moment.thumbnail;
    if (moment.thumbnail) picture.src = moment.thumbnail;
    by("mn-idle").hidden = Boolean(moment.thumbnail);
    by("mn-idle").textContent = moment.thumbnail ? "" : "Nothing to show.";
    say("mn-note", why);
  }

  const unplayable = (moment) =>
    `This browser cannot play the file of ${moment.stream} (its format). Open it in another player at ${moment.stamp}, ` +
    "or convert it to MP4 with H.264 and AAC.";

  async function show(stream, t_ns) {
    const mine = ++turn;
    let moment;
    try {
      const answer = await fetch(`moment?stream=${encodeURIComponent(stream)}&t_ns=${t_ns}`);
      moment = await answer.json();
      if (!answer.ok) moment = { stream, stamp: "", kind: "gone", line: moment.error || "This moment cannot be shown." };
    } catch {
      moment = { stream, stamp: "", kind: "gone", line: "The page's server does not answer; is mneme page still running?" };
    }
    if (mine !== turn) return;
    shown = { stream, t_ns: Number(t_ns), moment };
    const stage = by("mn-stage");
    if (stage.getBoundingClientRect().top < 0 || stage.getBoundingClientRect().bottom > innerHeight)
      stage.scrollIntoView({ block: "nearest" });
    say("mn-now", moment.stamp ? `${stream} · ${moment.stamp}` : stream);
    say("mn-note", "");
    if (moment.kind !== "file") return still(moment, moment.line);

    const video = by("mn-video");
    by("mn-still").hidden = by("mn-idle").hidden = true;
    video.hidden = false;
    const seek = () => {
      if (mine !== turn) return;
      video.currentTime = Number(t_ns) / 1e9;
      if (moment.thumbnail && video.videoWidth === 0) still(moment, unplayable(moment));
      else video.play().catch(() => {});
    };
    if (video.dataset.clip === moment.clip && video.readyState > 0) return seek();
    video.dataset.clip = moment.clip;
    video.onloadedmetadata = seek;
    video.onerror = () => mine === turn && still(moment, unplayable(moment));
    video.src = moment.clip;
  }

  // Which event stands on the storyboard while the video goes on.
  document.addEventListener("timeupdate", (event) => {
    if (event.target.id !== "mn-video" || !shown) return;
    const now_ns = event.target.currentTime * 1e9;
    for (const card of document.querySelectorAll("a.mn-card")) {
      const [stream, t0_ns] = target(card);
      const here = stream === shown.stream && Number(t0_ns) <= now_ns && now_ns < Number(card.dataset.until);
      card.toggleAttribute("aria-current", here);
    }
  }, true);

  const target = (link) => {
    const [, stream, t_ns] = link.getAttribute("href").match(/#moment\/([^/]*)\/(\d+)$/) || [];
    return [decodeURIComponent(stream || ""), t_ns];
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href*="#moment/"]');
    if (!link) return;
    event.preventDefault();
    event.stopPropagation();
    show(...target(link));
  }, true);

  // Gradio labels a message with its source text, markup and all: a screen reader shall read the message itself.
  new MutationObserver(() => {
    for (const message of document.querySelectorAll("[data-testid=bot][aria-label], [data-testid=user][aria-label]"))
      message.removeAttribute("aria-label");
  }).observe(document.documentElement, { childList: true, subtree: true });

  function send(file) {
    const line = document.createElement("div");
    const bar = document.createElement("progress");
    line.className = "mn-job mn-watching";
    line.append(Object.assign(document.createElement("b"), { textContent: file.name }),
      Object.assign(document.createElement("span"), { textContent: "arriving" }), bar);
    bar.setAttribute("aria-label", file.name);
    by("mn-upload").append(line);
    const failed = (words) => {
      line.className = "mn-job mn-failed";
      line.setAttribute("role", "alert");
      line.children[1].textContent = words;
      bar.remove();
    };
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      const name = document.querySelector("#mn-name input, #mn-name textarea")?.value ?? "";
      request.open("PUT", `sources/${encodeURIComponent(file.name)}?stream=${encodeURIComponent(name)}`);
      request.upload.onprogress = (seen) => seen.lengthComputable && (bar.value = seen.loaded / seen.total);
      request.onload = () => {
        if (request.status < 300) line.remove();
        else {
          let words = "the server refused it";
          try { words = JSON.parse(request.responseText).error || words; } catch { /* no JSON: keep the plain words */ }
          failed(words);
        }
        resolve();
      };
      request.onerror = () => { failed("the page's server does not answer"); resolve(); };
      request.send(file);
    });
  }

  async function sendAll(files) {
    by("mn-upload").replaceChildren();
    for (const file of files) await send(file); // one after another: they are watched so, too
  }

  document.addEventListener("change", (event) => {
    if (event.target.id !== "mn-file") return;
    sendAll([...event.target.files]).then(() => { event.target.value = ""; });
  });
  const zone = (event) => event.target.closest?.("#mn-drop");
  for (const kind of ["dragenter", "dragover"])
    document.addEventListener(kind, (event) => {
      event.preventDefault(); // a file that misses the zone must not replace the page
      zone(event)?.classList.add("mn-over");
    });
  document.addEventListener("dragleave", (event) => zone(event)?.classList.remove("mn-over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    by("mn-drop")?.classList.remove("mn-over");
    if (zone(event)) sendAll([...event.dataTransfer.files]);
  });
})();
