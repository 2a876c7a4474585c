// One job, as it goes on.

import { ask, attempt, clock, element } from "./api.js";

const job = document.body.dataset.job;
const byId = (id) => document.getElementById(id);
const log = byId("log");
let pace = null;

byId("run").addEventListener("click", () => attempt(() => ask(`/jobs/${job}/run`, { method: "POST" })));
byId("cancel").addEventListener("click", () => attempt(() => ask(`/jobs/${job}/cancel`, { method: "POST" })));

let events = null;

/** Follow the job while the page is looked at: a browser has no more than six connections for all pages of a studio. */
function follow() {
  events?.close();
  events = document.hidden ? null : new EventSource(`/api/jobs/${job}/events`);
  events?.addEventListener("open", () => log.replaceChildren()); // its last part comes again
  events?.addEventListener("job", (event) => show(JSON.parse(event.data)));
  events?.addEventListener("log", (event) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(JSON.parse(event.data));
    if (atEnd) {
      log.scrollTop = log.scrollHeight;
    }
  });
}

document.addEventListener("visibilitychange", follow);
follow();

function show(view) {
  const state = byId("state");
  const running = view.is_cancellable || view.status.stages.some((stage) => stage.status === "running");
  const name = running && view.status.state !== "completed" ? "running" : view.status.state;
  state.textContent = name;
  state.className = `state ${name}`;
  byId("cancel").hidden = !view.is_cancellable;
  byId("run").hidden = running || name === "completed" || name === "broken";
  byId("run").textContent = name === "pending" ? "Run" : "Resume";
  byId("failure").hidden = !view.failure;
  byId("failure").textContent = view.failure;
  showExpected(view.expected);
  for (const stage of view.status.stages) {
    showStage(stage, view);
  }
  showArtefacts(view.status.stages);
  document.title = `${view.status.media} (${name}) · stemscribe`;
}

function showExpected(expected) {
  const shown = byId("expected");
  shown.hidden = !expected;
  if (expected) {
    const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
    shown.textContent =
      `The rehearsal went well. Expected: ${clock(expected.seconds)}, ` +
      `${gigabytes(expected.memory_bytes)} of memory, ${gigabytes(expected.disk_bytes)} on the disk.`;
  }
}

function showStage(stage, view) {
  const row = document.querySelector(`[data-stage="${stage.name}"]`);
  if (!row) {
    return;
  }
  row.className = stage.status;
  const bar = row.querySelector("progress");
  const facts = row.querySelector(".facts");
  const at = view.at === stage.name && stage.status === "running" ? view.progress : null;
  if (at) {
    bar.value = at.total ? at.done / at.total : 0;
    facts.textContent = told(stage.name, at);
  } else if (stage.status === "running") {
    bar.removeAttribute("value");
    facts.textContent = "begins";
  } else {
    bar.value = stage.status === "completed" ? 1 : 0;
    facts.textContent = stage.status === "completed" ? `${clock(stage.seconds)}` : stage.status;
  }
}

/** Where a stage is, how fast, and how long it will take: from the first report on, since a resumed one had begun. */
function told(stage, progress) {
  const now = performance.now() / 1000;
  if (pace?.stage !== stage || pace.first.unit !== progress.unit || progress.done < pace.first.done) {
    pace = { stage, first: progress, began: now };
  }
  const parts = [
    progress.unit === "s"
      ? `${Math.round((100 * progress.done) / (progress.total || 1))} %`
      : `${progress.unit.replace(/s$/, "")} ${progress.done} of ${progress.total}`,
  ];
  const done = progress.done - pace.first.done;
  const took = now - pace.began;
  if (done > 0 && took > 1) {
    parts.push(`${((progress.film - pace.first.film) / took).toFixed(1)}x`);
    parts.push(`${clock(((progress.total - progress.done) * took) / done)} left`);
  }
  return parts.join(", ");
}

function showArtefacts(stages) {
  const list = byId("artefacts");
  const wanted = stages.flatMap((stage) => Object.entries(stage.artefacts));
  if (list.children.length !== wanted.length) {
    list.replaceChildren(
      ...wanted.map(([name, path]) =>
        element(
          "li",
          {},
          element("a", { href: `/api/jobs/${job}/artefacts/${name}`, download: path.split("/").pop() }, path),
        ),
      ),
    );
    showTabs(wanted.map(([name]) => name));
  }
}

/** What there is to hear and to read now. */
function showTabs(names) {
  const tabs = document.querySelector(".tabs");
  for (const [name, path, made] of [
    ["Listen", "listen", "vocals"],
    ["Transcript", "transcript", "transcript"],
  ]) {
    if (names.includes(made) && ![...tabs.children].some((tab) => tab.textContent === name)) {
      tabs.append(element("a", { href: `/jobs/${job}/${path}` }, name));
    }
  }
}
