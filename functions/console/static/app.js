// What every page needs: the API, elements that hold text only, numbers and times as the reader writes them.

/** What went wrong, for people: `title` says what, `detail` what to do. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(`${title}: ${detail}`);
    Object.assign(this, { status, title, detail });
  }
}

/** Answer of the console's own API; throws Problem. Without a session the page is asked for anew, which leads to the login and back. */
export async function api(path, { method = "GET", body, signal } = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The console can't be reached", "See whether it runs, and try again.");
  }
  if (response.status === 401 && path !== "login") {
    location.reload();
    return new Promise(() => {}); // the page goes away
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  const { title, detail } = answer ?? {};
  throw new Problem(response.status, title ?? `Status ${response.status}`, detail ?? "The log of the console says why.");
}

/** A new element: `class`, `on…`, attributes; children are elements or text, which stays text. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Fill a place of the page, unless it has just this already, so nothing loses its focus. Data are null where a part is away. */
const shown = new WeakMap();
export function fill(place, data, draw) {
  const said = JSON.stringify(data) ?? "";
  if (shown.get(place) === said) return;
  shown.set(place, said);
  place.classList.remove("loading");
  place.replaceChildren(...[data === null ? empty("Not known now, since a part is away.") : draw(data)].flat().filter(Boolean));
}

/** Set one dimension of an element in percent; by the style sheet's object, which the policy allows. */
export function sized(element, property, share) {
  element.style.setProperty(property, `${Math.max(0, Math.min(1, share)) * 100}%`);
  return element;
}

const numbers = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const percents = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const signed = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2, signDisplay: "exceptZero" });
const small = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
const or = (format) => (value) => (value === null || value === undefined ? "–" : format(value).replace("-", "−"));
const raised = (power) => String(power).replace(/./g, (digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]));

/** A number from 0 to 1 that may be very small, as 3 · 10⁻⁷. */
function tiny(value) {
  if (value === 0 || value >= 0.001) return small.format(value);
  const power = Math.floor(Math.log10(value));
  return `${small.format(value / 10 ** power)} · 10${raised(power)}`;
}

export const number = or((value) => numbers.format(value));
export const percent = or((value) => percents.format(value));
export const logOdds = or((value) => signed.format(value));
export const effect = or((value) => small.format(value));
export const pValue = or(tiny);

const plurals = new Intl.PluralRules("en");
export const counted = (count, one, many = `${one}s`) => `${number(count)} ${plurals.select(count) === "one" ? one : many}`;

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** A time in the reader's zone: today the clock alone, else with its day. */
export function time(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return h("time", { datetime: at.toISOString(), title: full.format(at) }, (today ? clock : day).format(at));
}
export const shortTime = (iso) => new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" }).format(new Date(iso));

export const verdict = (prediction, text = prediction) => h("span", { class: `verdict ${prediction}` }, text[0].toUpperCase() + text.slice(1));

/** The probability of positive as a bar from the middle, for eyes; the figure beside it is for all. */
export function meter(probability, extra = "") {
  const side = probability >= 0.5 ? "positive" : "negative";
  const fillBar = sized(h("i"), "left", Math.min(probability, 0.5));
  sized(fillBar, "width", Math.abs(probability - 0.5));
  return h("div", { class: `meter ${side} ${extra}`, "aria-hidden": "true" }, fillBar);
}

/** A table: columns are [name, class], rows lists of cells; the first cell of a row is its heading. */
export function table(columns, rows, { caption, foot, rowClass = () => null } = {}) {
  const cell = (tag, value, index, scope) => h(tag, { class: columns[index][1] || null, scope }, value);
  const line = (row, attributes = {}) => h("tr", attributes, row.map((value, index) => (index ? cell("td", value, index) : cell("th", value, index, "row"))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${caption}, a table` },
    h("table", {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([name], index) => cell("th", name, index, "col")))),
      h("tbody", {}, rows.map((row, index) => line(row, { class: rowClass(index) }))),
      foot ? h("tfoot", {}, line(foot)) : null));
}

export const facts = (pairs, className = "") => h("dl", { class: `facts ${className}` }, pairs.filter(Boolean).map(([name, value, more]) => h("div", {}, h("dt", {}, name), h("dd", {}, value, more ? h("small", {}, more) : null))));
export const empty = (...text) => h("p", { class: "empty" }, ...text);
export const problemElement = (problem, again) => h("div", { class: "problem", role: "alert" },
  h("strong", {}, problem.title), problem.detail, again ? h("div", {}, h("button", { type: "button", class: "compact", onclick: again }, "Try again")) : null);

/** Say which parts are away, while the others are shown. */
export const showAway = (parts) => fill(byId("away"), parts, () => parts.map((part) => problemElement({ title: `${part.name} is away`, detail: `What it says: ${part.says.replace(/\.$/, "")}. It is asked again in a moment.` })));

/** Tell screen readers what the page shows, once. */
export function say(text) {
  const place = byId("spoken");
  if (place.textContent !== text) place.textContent = text;
}

/** Say something that was done, for eyes and for screen readers; it goes by itself. */
export function notice(text) {
  const line = h("p", {}, text);
  byId("notices").replaceChildren(line);
  setTimeout(() => line.remove(), 6000);
}

/** Do what somebody asked for; in the page's place for problems it is said where that could not be done. */
export async function attempt(work, again) {
  const place = byId("problem");
  try {
    await work();
    place.replaceChildren();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    place.replaceChildren(problemElement(problem, again));
  }
}

/**
 * Run `work`, which reads and shows, now and every few seconds after it ended, while somebody looks; returns a function
 * that runs it at once, or once the run that is under way has ended. What can't be read is said beside what is away.
 */
export function every(seconds, work, { paused = () => false } = {}) {
  let timer;
  let last = Promise.resolve();
  const read = async () => {
    try {
      await work();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      fill(byId("away"), { title: problem.title, detail: problem.detail }, () => problemElement(problem, run));
    }
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(tick, seconds * 1000);
  };
  const run = () => (last = last.then(read).finally(wait));
  const tick = () => (document.hidden || paused() ? wait() : run());
  document.addEventListener("visibilitychange", tick);
  run();
  return run;
}

/** Have a button do `work` once at a time, and say that it is at it. */
export function onPress(button, work) {
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try {
      await attempt(work);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}

byId("sign-out")?.addEventListener("click", () => attempt(async () => {
  await api("logout", { method: "POST" });
  location.assign("login");
}));

// Whoever is signed in already and opens the address with the token again: it leaves the address, too.
if (location.hash.startsWith("#token=") && !byId("login")) history.replaceState(null, "", location.pathname + location.search);
