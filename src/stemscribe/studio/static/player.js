// Several sounds of one film in step, and what is seen of them.

import WaveSurfer from "./vendor/wavesurfer/wavesurfer.esm.js";
import RegionsPlugin from "./vendor/wavesurfer/plugins/regions.esm.js";

const PER_SECOND = 100;
const DRIFT = 0.02; // seconds: more is heard as an echo
const JUMP = 0.25; // seconds: what playing faster would take too long to make up for

export const COLOURS = {
  silent: "rgb(120 130 145 / 25%)",
  passed: "rgb(60 140 90 / 22%)",
  doubt: "rgb(200 120 20 / 40%)",
  gap: "rgb(190 50 40 / 35%)",
};

export const WORDS = {
  silent: "no voice: not separated",
  passed: "nothing but voices: passed through",
  doubt: "doubtful",
  gap: "speech without words",
};

/** The sounds of a job, played together; each has its own volume. The first one leads. */
export class Player extends EventTarget {
  constructor(job, names) {
    super();
    this.sounds = new Map();
    for (const name of names) {
      const audio = new Audio(`/api/jobs/${job}/artefacts/${name}`);
      audio.preload = "metadata";
      audio.dataset.name = name;
      document.body.append(audio);
      this.sounds.set(name, audio);
    }
    this.leader = this.sounds.get(names[0]);
    this.loop = null;
    this.leader.addEventListener("ended", () => this.pause());
    setInterval(() => this.keepStep(), 100);
    const tick = () => {
      if (!this.leader.paused) {
        this.dispatchEvent(new Event("time"));
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  get playing() {
    return !this.leader.paused;
  }

  get time() {
    return this.leader.currentTime;
  }

  async play() {
    this.seek(this.time);
    // One that cannot be had keeps silent, and nobody else waiting.
    const begun = [...this.sounds.values()].map((audio) => audio.play());
    try {
      await begun[0];
    } catch (error) {
      this.pause();
      throw error;
    } finally {
      begun.forEach((one) => one.catch(() => {}));
    }
    this.dispatchEvent(new Event("state"));
  }

  pause() {
    for (const audio of this.sounds.values()) {
      audio.pause();
    }
    this.dispatchEvent(new Event("state"));
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  seek(time) {
    for (const audio of this.sounds.values()) {
      audio.currentTime = Math.max(0, time);
    }
    this.dispatchEvent(new Event("time"));
  }

  /** Only one sound is heard: those who listen to a stem do not want the mix with it. */
  only(name) {
    for (const [other, audio] of this.sounds) {
      audio.muted = other !== name;
    }
  }

  /** Let nobody fall behind: a little by playing faster, more by a jump. */
  keepStep() {
    if (!this.playing) {
      return;
    }
    if (this.loop && (this.time >= this.loop.end || this.time < this.loop.start - JUMP)) {
      this.seek(this.loop.start);
    }
    for (const audio of this.sounds.values()) {
      const behind = this.time - audio.currentTime;
      if (audio === this.leader || audio.seeking) {
        continue;
      }
      if (Math.abs(behind) > JUMP) {
        audio.currentTime = this.time;
        audio.playbackRate = this.leader.playbackRate;
      } else {
        audio.playbackRate = this.leader.playbackRate * (Math.abs(behind) > DRIFT ? 1 + Math.sign(behind) * 0.03 : 1);
      }
    }
  }
}

/** The waveform of a sound as it was drawn beforehand: what is above the middle, and what is below. */
export async function peaksOf(job, name) {
  const response = await fetch(`/api/jobs/${job}/peaks/${name}`);
  if (!response.ok) {
    throw new Error(`There is no waveform of ${name}.`);
  }
  const pairs = new Int8Array(await response.arrayBuffer());
  const count = pairs.length / 2;
  const above = new Float32Array(count);
  const below = new Float32Array(count);
  for (let index = 0; index < count; index += 1) {
    below[index] = pairs[2 * index] / 127;
    above[index] = pairs[2 * index + 1] / 127;
  }
  return { peaks: [above, below], duration: count / PER_SECOND };
}

/** A waveform to look at and to click on; the player alone plays. */
export async function draw(container, player, job, name, { height = 72, spans = [], duration } = {}) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const regions = RegionsPlugin.create();
  const found = await peaksOf(job, name);
  const wave = WaveSurfer.create({
    container,
    height,
    peaks: found.peaks,
    duration: duration ?? found.duration,
    waveColor: colour("--wave"),
    progressColor: colour("--wave-played"),
    cursorColor: colour("--text"),
    hideScrollbar: false,
    autoScroll: true,
    normalize: false,
    cspNonce: document.body.dataset.nonce,
    media: document.createElement("audio"),
    plugins: [regions],
  });
  await new Promise((resolve) => wave.once("ready", resolve));
  for (const span of spans) {
    const shown = { start: span.start, end: span.end, color: COLOURS[span.kind], drag: false, resize: false };
    regions.addRegion(shown).element.style.pointerEvents = "none"; // or nobody could click or drag there
  }
  wave.on("interaction", (time) => player.seek(time));
  player.addEventListener("time", () => wave.setTime(player.time));
  return { wave, regions };
}

/** Keys that work wherever nobody is writing. */
export function keys(actions) {
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const writes = target.closest("input:not([type=range]):not([type=checkbox]), textarea, select");
    const presses = event.key === " " && target.closest("button, a, summary, input[type=checkbox]");
    const slides = /^(Arrow|Home|End)/.test(event.key) && target.closest("input[type=range]");
    const name = `${event.ctrlKey || event.metaKey ? "Control+" : ""}${event.key}`;
    if (writes || presses || slides || event.altKey || !(name in actions)) {
      return;
    }
    event.preventDefault();
    actions[name]();
  });
}
