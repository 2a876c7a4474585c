// The transcript beside its sound: read, followed, and mended.

import { ask, attempt, clock, element, seconds } from "./api.js";
import { draw, keys, Player } from "./player.js";

const job = document.body.dataset.job;
const byId = (id) => document.getElementById(id);
const UNSURE = 0.5; // a word of which the recogniser is less sure than that is marked
const ADDED = 2; // seconds that a new segment lasts before anybody says otherwise
const rows = byId("segments");
const looksOf = new WeakMap(); // what each row shows

const state = {
  text: null,
  sound: null,
  player: null,
  cues: null,
  words: [],
  now: -1,
  undone: [],
  changing: Promise.resolve(), // the changes that were begun, one after the other
  open: new Set(), // what keeps the text in each field that somebody writes in
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
  window.addEventListener("pagehide", () => state.open.forEach((keep) => keep()));
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
  show(all);
  state.words = [...rows.querySelectorAll(".words span")].map((span) => ({
    span,
    start: Number(span.dataset.start),
    end: Number(span.dataset.end),
  }));
  state.words.sort((first, second) => first.start - second.start);
  state.now = -1;
  byId("undo").disabled = state.text.changes === 0;
  byId("aside").hidden = state.text.set_aside === 0;
  byId("aside").textContent =
    `${state.text.set_aside} changes were made to a transcript that was here before this one.` +
    " They are kept, and are here again when it is.";
  byId("redo").disabled = state.undone.length === 0;
  filter();
  showCues();
}

/** Put rows in their places; what looks as before stays as it is, and so does a row in which somebody writes. */
function show(all) {
  const before = new Map([...rows.children].map((row) => [row.dataset.key, row]));
  const wanted = all.map(({ one, gap, start }) => {
    const [key, looks] = [one ? one.name : `gap ${start}`, JSON.stringify(one ?? gap)];
    const row = before.get(key);
    if (row && (looksOf.get(row) === looks || isWritten(row))) {
      return row;
    }
    const made = gap ? gapRow(gap) : segmentRow(one);
    Object.assign(made.dataset, { key, start });
    looksOf.set(made, looks);
    return made;
  });
  for (const row of [...rows.children].filter((one) => isWritten(one) && !wanted.includes(one))) {
    const place = wanted.findIndex((one) => Number(one.dataset.start) > Number(row.dataset.start));
    wanted.splice(place < 0 ? wanted.length : place, 0, row); // of a segment that is gone, or not there yet
  }
  for (const row of [...rows.children].filter((one) => !wanted.includes(one))) {
    row.remove();
  }
  wanted.forEach((row, index) => {
    if (rows.children[index] !== row) {
      rows.insertBefore(row, rows.children[index] ?? null);
    }
  });
  for (const marked of rows.querySelectorAll(".now, .spoken")) {
    marked.classList.remove("now", "spoken");
  }
}

function isWritten(row) {
  return row.querySelector(".editor") !== null;
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
  for (const change of ["merge", "remove"]) {
    row.querySelector(`.${change}`).addEventListener("click", () => attempt(() => mend({ change, segment: name }, one)));
  }
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

/** Do it when all that was begun before is done: each change is made to what the one before has left. */
function queued(work) {
  const done = state.changing.then(work);
  state.changing = done.catch(() => {});
  return done;
}

/** Do what may find the transcript changed elsewhere; then that is shown. */
async function reloading(work) {
  try {
    return await work();
  } catch (error) {
    if (error.status === 409) {
      state.text = await ask(`/jobs/${job}/transcript`);
      showText();
    }
    throw error;
  }
}

/** Make a change to a segment as somebody has seen it (`null`: to none), whatever else was changed elsewhere. */
function mend(change, seen) {
  const send = async () => {
    const body = { revision: state.text.revision, change };
    state.text = await ask(`/jobs/${job}/edits`, { method: "POST", body, keepalive: true });
  };
  return queued(async () => {
    try {
      await reloading(send);
    } catch (error) {
      if (error.status !== 409 || seen === undefined) {
        throw error;
      }
      if (seen && JSON.stringify(named(seen.name)?.segment) !== JSON.stringify(seen.segment)) {
        throw new Error("This segment was changed elsewhere meanwhile. Save again to have it as you wrote it.");
      }
      await send();
    }
    state.undone = [];
    showText();
  });
}

function named(name) {
  return state.text.segments.find((one) => one.name === name);
}

function undo() {
  return queued(async () => {
    if (!state.text.changes) {
      return;
    }
    const query = new URLSearchParams({ revision: state.text.revision });
    const { text, change } = await reloading(() => ask(`/jobs/${job}/edits/last?${query}`, { method: "DELETE" }));
    state.text = text;
    state.undone.push(change);
    showText();
  });
}

async function redo() {
  const change = state.undone.pop();
  if (!change) {
    return;
  }
  const rest = state.undone;
  try {
    await mend(change);
    state.undone = rest;
  } catch (error) {
    state.undone = [...rest, change];
    throw error;
  } finally {
    showText();
  }
}

/** Write in a segment. */
function edit(row, one) {
  const { segment, name } = one;
  const hidden = [row.querySelector(".words"), row.querySelector(".tools")];
  hidden.forEach((part) => (part.hidden = true));
  const rewrite = async (text, before) => {
    if (text !== before) {
      await mend({ change: "rewrite", segment: name, text }, one);
    }
  };
  const save = async ({ text, start, end }) => {
    await rewrite(tidy(text), tidy(segment.text));
    if (Math.abs(start - segment.start) > 0.0005 || Math.abs(end - segment.end) > 0.0005) {
      await mend({ change: "retime", segment: name, start, end }, named(name));
    }
  };
  const split = async (text, before) => {
    await rewrite(tidy(text), segment.text); // letters are counted in what is there
    await mend({ change: "split", segment: name, at: [...tidy(before)].length }, named(name));
  };
  const leave = () => {
    row.querySelector(".hearings")?.remove();
    hidden.forEach((part) => (part.hidden = false));
  };
  const back = () => rows.querySelector(`[data-name="${name}"] .edit`)?.focus({ preventScroll: true });
  write(row, segment, { save, leave, back, split });
  showHearings(row, segment);
}

/** A text as segments have it: on one line. */
function tidy(text) {
  return text.split(/\s+/).filter(Boolean).join(" ");
}

/** Write down what the machine has not heard. */
function add(start, end) {
  const row = element("li", { class: "segment" });
  row.dataset.start = start;
  const next = state.text.segments.find(({ segment }) => segment.start > start);
  rows.insertBefore(row, next ? rows.querySelector(`[data-name="${next.name}"]`) : null);
  const save = async ({ text, ...times }) => {
    if (tidy(text)) {
      await mend({ change: "add", text, ...times }, null);
    }
  };
  const back = () => byId("add").focus();
  write(row, { text: "", start, end, language: state.text.language }, { save, leave: () => row.remove(), back });
  row.scrollIntoView({ block: "nearest" });
}

/** Fields for the text and the times of a segment in its row; what was written is kept when they are left. */
function write(row, segment, { save, leave, back, split }) {
  const form = byId("editor").content.firstElementChild.cloneNode(true);
  const text = form.querySelector("textarea");
  const [start, end] = [form.querySelector(".start"), form.querySelector(".end")];
  text.value = tidy(segment.text);
  text.lang = segment.language;
  start.value = clock(segment.start, 3);
  end.value = clock(segment.end, 3);
  row.append(form);
  text.focus();

  let busy = false;
  const close = () => {
    busy = true;
    state.open.delete(keep);
    const hadFocus = form.contains(document.activeElement) || document.activeElement === document.body;
    form.remove();
    leave();
    showText();
    if (hadFocus) {
      back();
    }
  };
  const once = async (work) => {
    if (!busy) {
      busy = true;
      await attempt(async () => {
        await work();
        close();
      });
      busy = !form.isConnected;
    }
  };
  const keep = () =>
    once(() => {
      const times = { start: seconds(start.value), end: seconds(end.value) };
      if (Object.values(times).some(Number.isNaN)) {
        throw new Error("That is no time: write 90.5, 1:30 or 0:01:30.5.");
      }
      return save({ text: text.value, ...times });
    });
  state.open.add(keep);
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
  parts.addEventListener("click", () => once(() => split(text.value, text.value.slice(0, text.selectionStart))));
  form.addEventListener("keydown", (event) => {
    if (event.isComposing) {
      return; // the key belongs to what helps to write
    }
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
