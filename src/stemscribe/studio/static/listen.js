// Stems against each other.

import { ask, attempt, clock, element } from "./api.js";
import { COLOURS, draw, keys, Player, WORDS } from "./player.js";

const job = document.body.dataset.job;
const byId = (id) => document.getElementById(id);
const LONGEST_VIEW = 120;
const CLOSEST = 400; // pixels a second
const LOOPED = "rgb(80 140 220 / 25%)";

const sound = await attempt(() => ask(`/jobs/${job}/sound`));
if (sound) {
  await begin(sound);
}

async function begin({ tracks, spans, duration }) {
  const names = tracks.map((track) => track.name);
  const player = new Player(job, names);
  const rows = new Map(names.map((name) => [name, row(name, player)]));
  byId("tracks").append(...[...rows.values()].map((one) => one.element));
  solo(player, rows, "mix");
  showLegend(spans);
  transport(player);
  const waves = await Promise.all(
    names.map((name) => attempt(() => draw(rows.get(name).wave, player, job, name, { spans, duration }))),
  );
  const drawn = waves.filter(Boolean);
  zooming(drawn, duration);
  looping(drawn, player);
  seeing(names, drawn, duration);
}

/** A track: its name, solo, mute, volume, and room for its waveform. */
function row(name, player) {
  const audio = player.sounds.get(name);
  const alone = element("button", { "aria-pressed": "false", "aria-label": `Solo ${name}` }, "Solo");
  const mute = element("button", { "aria-pressed": "false", "aria-label": `Mute ${name}` }, "Mute");
  const volume = element("input", { type: "range", min: "0", max: "100", value: "100", "aria-label": `Volume of ${name}` });
  const wave = element("div", { class: "wave" });
  const controls = element("div", { class: "controls" }, element("span", { class: "name" }, name), alone, mute, volume);
  volume.addEventListener("input", () => (audio.volume = volume.value / 100));
  return { element: element("div", { class: "track", "data-track": name }, controls, wave), wave, alone, mute, audio };
}

function solo(player, rows, first) {
  const show = () => {
    for (const { audio, mute, alone } of rows.values()) {
      const others = [...rows.values()].filter((one) => !one.audio.muted);
      mute.setAttribute("aria-pressed", String(audio.muted));
      alone.setAttribute("aria-pressed", String(!audio.muted && others.length === 1));
    }
  };
  for (const [name, { alone, mute, audio }] of rows) {
    alone.addEventListener("click", () => {
      player.only(name);
      show();
    });
    mute.addEventListener("click", () => {
      audio.muted = !audio.muted;
      show();
    });
  }
  player.only(rows.has(first) ? first : rows.keys().next().value);
  show();
}

function transport(player) {
  const play = byId("play");
  play.disabled = false;
  play.addEventListener("click", () => attempt(() => player.toggle()));
  player.addEventListener("state", () => (play.textContent = player.playing ? "Pause" : "Play"));
  player.addEventListener("time", () => (byId("now").textContent = clock(player.time, 1)));
  keys({
    " ": () => attempt(() => player.toggle()),
    ArrowLeft: () => player.seek(player.time - 5),
    ArrowRight: () => player.seek(player.time + 5),
    Home: () => player.seek(0),
  });
}

/** From the whole film to a tenth of a second in 40 pixels. */
function zooming(drawn, duration) {
  const zoom = byId("zoom");
  const apply = () => {
    const width = drawn[0].wave.getWidth();
    const least = width / duration;
    const pixels = zoom.value === "0" ? 0 : least * Math.pow(Math.max(1, CLOSEST / least), zoom.value / 100);
    for (const { wave } of drawn) {
      wave.zoom(pixels);
    }
  };
  if (drawn.length) {
    zoom.addEventListener("input", apply);
  }
  let moving = false;
  for (const { wave } of drawn) {
    wave.on("scroll", (start, end, left) => {
      if (!moving) {
        moving = true;
        for (const other of drawn) {
          if (other.wave !== wave) {
            other.wave.setScroll(left);
          }
        }
        moving = false;
      }
    });
  }
}

/** Drag over a waveform to choose what is played again and again. */
function looping(drawn, player) {
  const button = byId("loop");
  let chosen = null;
  const show = () => {
    button.setAttribute("aria-pressed", String(player.loop !== null));
    for (const { regions } of drawn) {
      regions.getRegions().filter((region) => region.id === "loop").forEach((region) => region.remove());
      if (chosen) {
        const shown = { id: "loop", ...chosen, color: LOOPED, drag: false, resize: false };
        regions.addRegion(shown).element.style.pointerEvents = "none";
      }
    }
  };
  for (const { regions } of drawn) {
    regions.enableDragSelection({ color: LOOPED });
    regions.on("region-created", (region) => {
      if (region.id !== "loop" && region.color === LOOPED) {
        chosen = { start: region.start, end: region.end };
        region.remove();
        player.loop = chosen;
        show();
      }
    });
  }
  button.addEventListener("click", () => {
    player.loop = player.loop ? null : (chosen ?? { start: player.time, end: player.time + 5 });
    chosen = player.loop ?? null;
    show();
  });
}

/** The spectrogram of what is seen of the waveforms. */
function seeing(names, drawn, duration) {
  const choice = byId("seen");
  const canvas = byId("spectrogram");
  choice.append(...names.map((name) => element("option", { value: name, selected: name === "vocals" }, name)));
  let waiting;
  let asked = 0;
  const show = async () => {
    const [start, end] = visible(drawn, duration);
    const told = byId("seen-span");
    if (end - start > LONGEST_VIEW) {
      told.textContent = `zoom in to less than ${LONGEST_VIEW / 60} minutes to see it`;
      canvas.hidden = true;
      return;
    }
    canvas.hidden = false;
    told.textContent = `${clock(start)} to ${clock(end)}`;
    const columns = Math.max(1, Math.min(1200, Math.round(canvas.clientWidth)));
    const number = (asked += 1);
    const query = new URLSearchParams({ start, end, columns });
    const response = await fetch(`/api/jobs/${job}/spectrogram/${choice.value}?${query}`);
    if (response.ok && number === asked) {
      paint(canvas, new Uint8Array(await response.arrayBuffer()), columns);
    }
  };
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 150);
  };
  choice.addEventListener("change", soon);
  for (const { wave } of drawn.slice(0, 1)) {
    wave.on("scroll", soon);
    wave.on("zoom", soon);
    wave.on("redraw", soon);
  }
  soon();
}

function visible(drawn, duration) {
  if (!drawn.length) {
    return [0, duration];
  }
  const { wave } = drawn[0];
  const whole = wave.getWrapper().scrollWidth;
  const start = (wave.getScroll() / whole) * duration;
  return [start, Math.min(duration, start + (wave.getWidth() / whole) * duration)];
}

/** Bytes as colours: from black over blue and orange to white. */
function paint(canvas, bytes, columns) {
  const rows = bytes.length / columns;
  canvas.width = columns;
  canvas.height = rows;
  const picture = new ImageData(columns, rows);
  bytes.forEach((level, index) => {
    const share = level / 255;
    picture.data[4 * index] = 255 * Math.min(1, Math.max(0, 2.2 * share - 0.7));
    picture.data[4 * index + 1] = 255 * Math.min(1, Math.max(0, 2.2 * share - 1.1));
    picture.data[4 * index + 2] = 255 * (share < 0.45 ? 1.3 * share : Math.max(0.05, Math.abs(2 * share - 1.3)));
    picture.data[4 * index + 3] = 255;
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function showLegend(spans) {
  const kinds = Object.keys(COLOURS).filter((kind) => spans.some((span) => span.kind === kind));
  byId("legend").append(...kinds.map((kind) => element("li", {}, element("i", { class: kind }), WORDS[kind])));
}
