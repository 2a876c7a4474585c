// The list of jobs, and the form for another one.

import { ask, attempt, reason, tell } from "./api.js";

const form = document.getElementById("new-job");
const file = document.getElementById("file");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  await attempt(async () => {
    const media = file.files.length ? await sentOnce(file.files[0]) : form.elements.media.value.trim();
    const { job } = await ask("/jobs", {
      method: "POST",
      body: {
        media,
        workflow: form.elements.workflow.value,
        source_language: form.elements.source_language.value.trim() || "auto",
        options: { model: form.elements.model.value },
      },
    });
    await ask(`/jobs/${job}/run`, { method: "POST" });
    location.href = `/jobs/${job}`;
  });
  button.disabled = false;
});

const places = new WeakMap();

/** Where a file is that was sent: what was refused for another reason need not be sent again. */
async function sentOnce(film) {
  if (!places.has(film)) {
    places.set(film, await sent(film));
  }
  return places.get(film);
}

/** Send a file; returns where it is then. `fetch` cannot tell how far it has come. */
function sent(film) {
  const bar = document.getElementById("sent");
  const size = document.getElementById("size");
  document.getElementById("sending").hidden = false;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `/api/uploads/${encodeURIComponent(film.name)}`);
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.value = total ? loaded / total : 0;
      size.textContent = `${megabytes(loaded)} of ${megabytes(total)} MB`;
    });
    request.addEventListener("error", () => reject(new Error("The film could not be sent: the studio does not answer.")));
    request.addEventListener("load", async () => {
      if (request.status === 201) {
        resolve(JSON.parse(request.responseText).path);
      } else {
        reject(new Error(await reason(new Response(request.responseText, { status: 500 }))));
      }
    });
    request.send(film);
  });
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}

file.addEventListener("change", () => {
  if (file.files.length) {
    tell(`${file.files[0].name}: ${megabytes(file.files[0].size)} MB`);
  }
});

async function refresh() {
  if (document.hidden) {
    return;
  }
  const rows = await ask("/jobs").catch(() => []);
  for (const row of rows) {
    const shown = document.querySelector(`tr[data-job="${row.job}"]`);
    const state = shown?.querySelector(".state");
    if (state && state.textContent !== row.state) {
      state.textContent = row.state;
      state.className = `state ${row.state}`;
    }
    if (shown && row.coverage !== null) {
      shown.querySelector(".number").textContent = `${Math.round(100 * row.coverage)} %`;
    }
  }
}

setInterval(refresh, 3000);
