// Requests to the API, and what pages share.

/** An answer of the API as a record; whatever went wrong is an Error that can be shown. */
export async function ask(path, { method = "GET", body, ...rest } = {}) {
  const response = await fetch(`/api${path}`, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    ...rest,
  });
  if (!response.ok) {
    throw Object.assign(new Error(await reason(response)), { status: response.status });
  }
  return response.json();
}

export async function reason(response) {
  const text = await response.text();
  try {
    const { detail, hint } = JSON.parse(text);
    const said = typeof detail === "string" ? detail : "The request was not understood.";
    return [said, hint].filter(Boolean).join(" ");
  } catch {
    return text.trim() || `The studio answered ${response.status}.`;
  }
}

let leaving;

/** Tell something for a while. */
export function tell(text) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.hidden = false;
  clearTimeout(leaving);
  leaving = setTimeout(() => (notice.hidden = true), 8000);
}

/** Run something that may fail, and tell it if it does. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    tell(error.message);
    return undefined;
  }
}

/** Seconds as 1:02:03. */
export function clock(seconds, digits = 0) {
  const sign = seconds < 0 ? "-" : "";
  const whole = Math.abs(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = (whole % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return sign + (hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`);
}

/** 1:02:03.5 as seconds; NaN for what is no time. */
export function seconds(text) {
  if (!/^-?\d+(:\d{1,2}){0,2}([.,]\d+)?$/.test(text.trim())) {
    return NaN;
  }
  const sign = text.trim().startsWith("-") ? -1 : 1;
  const parts = text.trim().replace("-", "").replace(",", ".").split(":").map(Number);
  return sign * parts.reduce((sum, part) => 60 * sum + part, 0);
}

/** An element with text and attributes. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && typeof value !== "string") {
      made[key] = value;
    } else {
      made.setAttribute(key, value);
    }
  }
  made.append(...children);
  return made;
}
