// The transcript beside its sound: read, followed, and mended.

import { ask, attempt, clock, element, seconds } from "./api.js";
import { draw, keys, Player } from "./player.js";

const job = document.body.dataset.job;
const byId = (id) => document.getElementById(id);
const UNSURE = 0.5; // a word of which the recogniser is less sure than that is marked
const ADDED = 2; // seconds that a new segment lasts before anybody says otherwise
const rows = byId("segments");

const state = {
  text: null,
  sound: null,
  player: null,
  cues: null,
  words: [],
  now: -1,
  undone: [],
  saved: Promise.resolve(),
};

const loaded = await attempt(() => Promise.all([ask(`/jobs/${job}/transcript`), ask(`/jobs/${job}/sound`)]));
if (loaded) {
  [state.text, state.sound] = loaded;
  await begin();
}

async function begin() {
  const { tracks, spans, duration } = state.sound;
  const names = ["vocals", "mix"].filter((name) => tracks.some((track) => track.name === name));
  state.player = new Player(job, names);
  state.player.only(names[0]);
  const heard = byId("heard");
  heard.append(...names.map((name) => element("option", { value: name }, name)));
  heard.addEventListener("change", () => state.player.only(heard.value));
  transport();
  showText();
  exports();
  film();
  const at = Number(new URLSearchParams(location.search).get("at"));
  if (at) {
    goTo(at);
  }
  await attempt(() => draw(byId("wave"), state.player, job, names[0], { height: 64, spans, duration }));
}

/** A time on the film's clock as one of the mix, which is what is heard. */
function ofMix(time) {
  return time - state.sound.offset;
}

function goTo(time) {
  state.player.seek(ofMix(time));
  follow(true);
}

function transport() {
  const { player } = state;
  byId("play").disabled = false;
  byId("play").addEventListener("click", () => attempt(() => player.toggle()));
  player.addEventListener("state", () => (byId("play").textContent = player.playing ? "Pause" : "Play"));
  player.addEventListener("time", () => {
    byId("now").textContent = clock(player.time + state.sound.offset, 1);
    follow(false);
  });
  byId("undo").addEventListener("click", () => attempt(undo));
  byId("redo").addEventListener("click", () => attempt(redo));
  const here = () => add(player.time + state.sound.offset, player.time + state.sound.offset + ADDED);
  byId("add").disabled = false;
  byId("add").addEventListener("click", here);
  byId("filter").addEventListener("input", filter);
  keys({
    " ": () => attempt(() => player.toggle()),
    ArrowLeft: () => player.seek(player.time - 3),
    ArrowRight: () => player.seek(player.time + 3),
    "Control+z": () => attempt(undo),
    "Control+y": () => attempt(redo),
    Home: () => player.seek(0),
    n: here,
    j: () => step(1),
    k: () => step(-1),
    e: () => rows.querySelector(`[data-name="${spoken()?.name ?? state.text.segments[0]?.name}"] .edit`)?.click(),
  });
}

/** The last segment that has begun. */
function spoken() {
  const now = state.player.time + state.sound.offset;
  return state.text.segments.findLast(({ segment }) => segment.start <= now + 0.02);
}

function step(by) {
  const { segments } = state.text;
  const next = segments[segments.indexOf(spoken()) + by] ?? segments.at(by > 0 ? -1 : 0);
  if (next) {
    goTo(next.segment.start);
  }
}

// What is shown

function showText() {
  const { segments } = state.text;
  const gaps = state.sound.spans
    .filter((span) => span.kind === "gap")
    .map(({ start, end, what }) => ({ start: start + state.sound.offset, end: end + state.sound.offset, what }))
    .filter((gap) => !segments.some(({ is_edited, segment }) => is_edited && isWithin(gap, segment)))
    .map((gap) => ({ gap, start: gap.start }));
  const all = [...segments.map((one) => ({ one, start: one.segment.start })), ...gaps];
  all.sort((first, second) => first.start - second.start);
  rows.replaceChildren(...all.map(({ one, gap }) => (gap ? gapRow(gap) : segmentRow(one))));
  state.words = [...rows.querySelectorAll(".words span")].map((span) => ({
    span,
    start: Number(span.dataset.start),
    end: Number(span.dataset.end),
  }));
  state.words.sort((first, second) => first.start - second.start);
  state.now = -1;
  byId("undo").disabled = state.text.changes === 0;
  byId("redo").disabled = state.undone.length === 0;
  filter();
  showCues();
}

/** Whether the middle of a gap is in a segment: then somebody has written down what is said there. */
function isWithin(gap, segment) {
  const middle = (gap.start + gap.end) / 2;
  return segment.start <= middle && middle <= segment.end;
}

function gapRow(gap) {
  const time = element("button", { class: "time", title: "Play from here" }, clock(gap.start, 1));
  time.addEventListener("click", () => goTo(gap.start));
  const write = element("button", {}, "Write it down");
  write.addEventListener("click", () => {
    goTo(gap.start);
    add(gap.start, gap.end);
  });
  const said = element("span", {}, `Speech without words: ${gap.what}`);
  return element("li", { class: "gap-row" }, time, said, element("div", { class: "tools" }, write));
}

function segmentRow(one) {
  const { segment, name } = one;
  const row = byId("segment").content.firstElementChild.cloneNode(true);
  row.dataset.name = name;
  const time = row.querySelector(".time");
  time.textContent = clock(segment.start, 1);
  time.addEventListener("click", () => goTo(segment.start));
  row.querySelector(".badges").textContent = [
    one.is_edited ? "mended" : segment.heard,
    ...(segment.doubts.length ? ["doubtful"] : []),
  ].join(", ");
  row.querySelector(".badges").title = [segment.reason, ...segment.doubts].filter(Boolean).join("; ");
  const words = row.querySelector(".words");
  words.lang = segment.language;
  words.append(...wordsOf(segment));
  row.querySelector(".edit").addEventListener("click", () => edit(row, one));
  row.querySelector(".merge").addEventListener("click", () => attempt(() => mend({ change: "merge", segment: name })));
  row.querySelector(".remove").addEventListener("click", () => attempt(() => mend({ change: "remove", segment: name })));
  return row;
}

function wordsOf(segment) {
  if (!segment.words.length) {
    return [segment.text];
  }
  return segment.words.flatMap((word) => {
    const span = element("span", { "data-start": String(word.start), "data-end": String(word.end) }, word.text.trim());
    if (word.probability < UNSURE) {
      span.classList.add("unsure");
      span.title = `The recogniser was ${Math.round(100 * word.probability)} % sure.`;
    }
    span.addEventListener("click", () => goTo(word.start));
    return [span, " "];
  });
}

/** Mark the word that is being said. */
function follow(scroll) {
  const { words, player, sound } = state;
  const time = player.time + sound.offset;
  let low = 0;
  let high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].start <= time + 0.02) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const index = low - 1;
  if (index === state.now && !scroll) {
    return;
  }
  words[state.now]?.span.classList.remove("spoken");
  const before = words[state.now]?.span.closest(".segment");
  state.now = index;
  const word = words[index];
  const row = word?.span.closest(".segment");
  if (word && time <= word.end + 0.3) {
    word.span.classList.add("spoken");
  }
  if (row !== before || scroll) {
    before?.classList.remove("now");
    row?.classList.add("now");
    if (row && (player.playing || scroll) && !rows.querySelector(".editor")) {
      row.scrollIntoView({ block: "nearest" });
    }
  }
}

function filter() {
  const wanted = byId("filter").value.trim().toLocaleLowerCase();
  let shown = 0;
  for (const row of rows.children) {
    row.hidden = Boolean(wanted) && !row.textContent.toLocaleLowerCase().includes(wanted);
    shown += row.hidden ? 0 : 1;
  }
  const all = state.text.segments.length;
  byId("count").textContent = wanted ? `${shown} of ${all} segments` : `${all} segments`;
}

// What is mended

async function mend(change) {
  try {
    state.text = await ask(`/jobs/${job}/edits`, { method: "POST", body: { revision: state.text.revision, change } });
  } catch (error) {
    if (error.status === 409) {
      state.text = await ask(`/jobs/${job}/transcript`);
      showText();
    }
    throw error;
  }
  state.undone = [];
  showText();
}

async function undo() {
  if (!state.text.changes) {
    return;
  }
  const query = new URLSearchParams({ revision: state.text.revision });
  const { text, change } = await ask(`/jobs/${job}/edits/last?${query}`, { method: "DELETE" });
  state.text = text;
  state.undone.push(change);
  showText();
}

async function redo() {
  const change = state.undone.at(-1);
  if (!change) {
    return;
  }
  const rest = state.undone.slice(0, -1);
  await mend(change);
  state.undone = rest;
  showText();
}

/** Write in a segment. */
function edit(row, one) {
  const { segment, name } = one;
  const hidden = [row.querySelector(".words"), row.querySelector(".tools")];
  hidden.forEach((part) => (part.hidden = true));
  const rewrite = async (text) => {
    if (text.trim() !== segment.text.trim()) {
      await mend({ change: "rewrite", segment: name, text });
      return true;
    }
    return false;
  };
  const save = async ({ text, start, end }) => {
    const isRewritten = await rewrite(text);
    const isRetimed = Math.abs(start - segment.start) > 0.0005 || Math.abs(end - segment.end) > 0.0005;
    if (isRetimed) {
      await mend({ change: "retime", segment: name, start, end });
    }
    return isRewritten || isRetimed;
  };
  const leave = () => {
    row.querySelector(".hearings")?.remove();
    hidden.forEach((part) => (part.hidden = false));
    row.querySelector(".edit").focus();
  };
  const split = async (text, at) => {
    await rewrite(text);
    await mend({ change: "split", segment: name, at });
  };
  write(row, segment, { save, leave, split });
  showHearings(row, segment);
}

/** Write down what the machine has not heard. */
async function add(start, end) {
  await state.saved; // of another segment, whose fields were left by coming here
  const row = element("li", { class: "segment" });
  const next = state.text.segments.find(({ segment }) => segment.start > start);
  rows.insertBefore(row, next ? rows.querySelector(`[data-name="${next.name}"]`) : null);
  const save = async ({ text, ...times }) => {
    if (text.trim()) {
      await mend({ change: "add", text, ...times });
      return true;
    }
    return false;
  };
  write(row, { text: "", start, end, language: state.text.language }, { save, leave: () => row.remove() });
  row.scrollIntoView({ block: "nearest" });
}

/** Fields for the text and the times of a segment in its row; what was written is kept when they are left. */
function write(row, segment, { save, leave, split }) {
  const form = byId("editor").content.firstElementChild.cloneNode(true);
  const text = form.querySelector("textarea");
  const [start, end] = [form.querySelector(".start"), form.querySelector(".end")];
  text.value = segment.text.trim();
  text.lang = segment.language;
  start.value = clock(segment.start, 3);
  end.value = clock(segment.end, 3);
  row.append(form);
  text.focus();

  let saving = false; // the fields are also left when their row gives way to what was saved
  const once = async (work) => {
    if (!saving) {
      saving = true;
      state.saved = attempt(work);
      await state.saved;
      saving = false;
    }
  };
  const close = () => {
    saving = true;
    form.remove();
    leave();
  };
  const keep = () =>
    once(async () => {
      const times = { start: seconds(start.value), end: seconds(end.value) };
      if (Object.values(times).some(Number.isNaN)) {
        throw new Error("That is no time: write 90.5, 1:30 or 0:01:30.5.");
      }
      if (!(await save({ text: text.value, ...times }))) {
        close();
      }
    });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep();
  });
  form.addEventListener("focusout", (event) => {
    if (!form.contains(event.relatedTarget) && form.isConnected && document.hasFocus()) {
      keep();
    }
  });
  form.querySelector(".leave").addEventListener("click", close);
  const parts = form.querySelector(".split");
  parts.hidden = !split;
  parts.addEventListener("click", () => once(() => split(text.value, text.selectionStart)));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close();
    } else if (event.key === "Enter" && !event.shiftKey && event.target === text) {
      event.preventDefault();
      keep();
    }
  });
}

/** What was heard in the other sounds of the same stretch. */
async function showHearings(row, segment) {
  const query = new URLSearchParams({ start: segment.start, end: segment.end });
  const found = await ask(`/jobs/${job}/hearings?${query}`).catch(() => []);
  if (!found.length || !row.querySelector(".editor")) {
    return;
  }
  const told = found.flatMap((hearing) => [
    element("dt", {}, `Heard in the ${hearing.audio}`),
    element("dd", { dir: "auto" }, hearing.text),
  ]);
  row.append(element("dl", { class: "hearings" }, ...told));
}

function exports() {
  const show = () => {
    const links = ["srt", "vtt", "txt", "json"].map((form) => {
      const href = `/api/jobs/${job}/export/${form}?mended=${byId("mended").checked}`;
      return element("a", { href, download: `${job}.${form}` }, form.toUpperCase());
    });
    byId("exports").replaceChildren(...links);
  };
  byId("mended").addEventListener("change", show);
  show();
}

/** The text as it is now, as subtitles of the film, where that is shown. */
function showCues() {
  const { cues: track } = state;
  if (!track) {
    return;
  }
  const { mode } = track;
  track.mode = "hidden"; // one that is disabled does not tell its cues
  for (const cue of [...track.cues]) {
    track.removeCue(cue);
  }
  for (const { segment } of state.text.segments) {
    track.addCue(new VTTCue(Math.max(0, segment.start), Math.max(0, segment.end), segment.text.trim()));
  }
  track.mode = mode;
}

/** The film itself, where the browser can play it; its sound is ours. */
function film() {
  const video = byId("film");
  video.src = `/api/jobs/${job}/media`;
  video.muted = true;
  video.addEventListener("loadedmetadata", () => {
    if (!video.videoWidth) {
      return;
    }
    video.hidden = false;
    state.cues = video.addTextTrack("subtitles", "transcript", state.text.language);
    state.cues.mode = "showing";
    showCues();
    const { player } = state;
    video.addEventListener("click", () => attempt(() => player.toggle()));
    const step = () => {
      const wanted = player.time + state.sound.offset;
      if (Math.abs(video.currentTime - wanted) > 0.15) {
        video.currentTime = wanted;
      }
    };
    player.addEventListener("state", () => (player.playing ? video.play().catch(() => {}) : video.pause()));
    player.addEventListener("time", step);
    step();
  });
}
