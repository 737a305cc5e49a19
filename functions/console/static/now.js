// What was answered in the last hour, and how the parts are; read again every few seconds.
import { api, byId, counted, empty, every, fill, h, meter, number, percent, shortTime, showAway, table, time, verdict } from "./app.js";
import { columns } from "./chart.js";

const SECONDS = 5;
const sum = (rows) => rows.reduce((total, row) => total + row.count, 0);

/** Until the whole hour is counted, which takes some looks where much is answered, it says from when. */
const name = (minutes, since) => (minutes && minutes.length < 60 ? `Answers since ${shortTime(since)}` : "Answers, last hour");

function tiles({ hour, minutes: byMinute, since, rejected, lag, pending, parts }) {
  const answers = hour && sum(hour);
  const positive = hour && sum(hour.filter((row) => row.prediction === "positive"));
  const waiting = lag?.reduce((total, each) => total + each.messages, 0);
  const away = parts.filter((part) => !part.ok).length;
  return [
    [name(byMinute, since), number(answers), answers ? `${counted(positive, "is", "are")} positive` : hour ? "none yet" : null],
    ["Positive", answers ? percent(positive / answers) : "–", "of these answers"],
    ["Waiting in the streams", lag ? number(waiting) : "–", lag ? "messages not done" : "the bridge does not say"],
    ["Rejected", number(rejected?.length), rejected?.length >= 20 ? "or more: the last are below" : "messages"],
    ["Labels pending", number(pending), "wait for the next run"],
    ["Parts", away ? `${number(away)} away` : "All ready", `of ${number(parts.length)}`],
  ].map(([name, value, more]) => h("div", {}, h("dt", {}, name), h("dd", {}, value, h("small", {}, more))));
}

function minutes(rows) {
  if (!rows.some((row) => row.positive || row.negative)) return empty("No answers in the last hour: ", h("a", { href: "./" }, "try a text"), ", which is not remembered, or send some to predict or to the stream.");
  const named = rows.map((row) => ({ name: shortTime(row.at), up: row.positive, down: row.negative }));
  const total = (side) => named.reduce((all, row) => all + row[side], 0);
  return [
    columns(`Answers a minute since ${shortTime(rows[0].at)}: ${number(total("up"))} positive, ${number(total("down"))} negative`, named, { names: ["positive", "negative"], format: number }),
    h("details", {}, h("summary", {}, "As a table"), table([["Minute"], ["Positive", "number"], ["Negative", "number"]], named.filter((row) => row.up || row.down).map((row) => [row.name, number(row.up), number(row.down)]), { caption: "Answers by minute" })),
  ];
}

const textItem = (each) => h("li", {},
  h("p", { class: "text" }, each.text || "(an empty text)"),
  h("p", { class: "meta" }, verdict(each.prediction), meter(each.probability, "thin"), h("span", {}, percent(each.probability)), time(each.scored_at), each.source, each.synthetic ? h("span", { class: "badge unknown" }, "generated") : null));

const rejectedItem = (each) => h("li", {},
  h("strong", {}, each.reason),
  h("p", { class: "raw" }, each.text || "(an empty body)"),
  h("p", { class: "meta" }, h("span", {}, each.stream), time(each.received_at)));

const part = (each) => h("li", {},
  h("strong", {}, each.name), h("span", { class: `badge ${each.ok ? "ok" : "bad"}` }, each.ok ? "ready" : "away"),
  each.says === "answers" ? null : h("span", { class: "small muted says" }, each.says));

function sources(rows) {
  if (!rows.length) return empty("Nothing was answered in the last hour.");
  const names = [...new Set(rows.map((row) => row.source))].sort();
  const count = (source, prediction) => sum(rows.filter((row) => (!source || row.source === source) && (!prediction || row.prediction === prediction)));
  const line = (name, source) => [name, number(count(source, "positive")), number(count(source, "negative")), number(count(source))];
  return table([["Source"], ["Positive", "number"], ["Negative", "number"], ["All", "number"]], names.map((name) => line(name, name)), { caption: "Answers of the last hour by source and label", foot: names.length > 1 ? line("All") : undefined });
}

function lag({ lag: rows }) {
  if (!rows) return empty("The bridge does not say. Is it running, and is BRIDGE_URL set?");
  if (!rows.length) return empty("No stream is read.");
  return table([["Stream"], ["Messages", "number"]], rows.map((row) => [row.stream, number(row.messages)]), { caption: "Messages that are not done" });
}

async function read() {
  const now = await api("api/now");
  showAway(now.parts.filter((each) => !each.ok));
  fill(byId("tiles"), [now.hour, now.since, now.rejected?.length, now.lag, now.pending, now.parts], () => tiles(now));
  fill(byId("minutes"), now.minutes, minutes);
  fill(byId("parts"), now.parts, (parts) => h("ul", { class: "parts" }, parts.map(part)));
  fill(byId("texts"), now.texts, (texts) => (texts.length ? h("ul", { class: "list long", tabindex: "0", "aria-label": "Last texts" }, texts.map(textItem)) : empty("No texts yet: send one to predict, or to the stream.")));
  fill(byId("sources"), now.hour, sources);
  fill(byId("lag"), { lag: now.lag }, lag);
  fill(byId("rejected"), now.rejected, (rejected) => (rejected.length ? h("ul", { class: "list long rejected", tabindex: "0", "aria-label": "Rejected messages" }, rejected.map(rejectedItem)) : empty("None. A message that can't be used would be here, with the reason.")));
  byId("read-at").replaceChildren("Read at ", time(new Date().toISOString()), ".");
}

const pause = byId("pause");
const isPaused = () => pause.getAttribute("aria-pressed") === "true";
const readNow = every(SECONDS, read, { paused: isPaused });
pause.addEventListener("click", () => {
  pause.setAttribute("aria-pressed", String(!isPaused()));
  pause.textContent = isPaused() ? "Paused: go on" : "Pause";
  if (!isPaused()) readNow();
});
