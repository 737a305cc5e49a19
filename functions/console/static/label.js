// Texts that the model is least sure of, one at a time; a key decides. What is said goes to retrain.
import { api, attempt, byId, counted, empty, every, facts, fill, h, meter, notice, number, onPress, percent, showAway, sized, time } from "./app.js";

const SECONDS = 10;
const done = new Set(); // what was decided or skipped here, which the next reading may still have
let texts = [];
let known = true; // whether it is known what there is to decide
let sending = false;

const current = () => texts[0];

function show() {
  const text = current();
  byId("decide").hidden = !text;
  fill(byId("text"), text ?? (known ? "none" : null), () => (text ? [
    h("blockquote", { tabindex: "0" }, text.text),
    h("div", { class: "meta" }, h("span", {}, `The model: ${percent(text.probability)} positive`), meter(text.probability, "thin"), time(text.scored_at), h("span", {}, `${number(texts.length)} to go`)),
  ] : empty("Nothing to decide: no recent text is without a label. Send texts to predict or to the stream, and come back.")));
}

async function decide(answer) {
  const text = current();
  if (!text || sending) return;
  sending = true;
  await attempt(async () => {
    if (answer !== "skip") {
      const taken = await api("api/labels", { method: "POST", body: { text: text.text, label: answer } });
      notice(`${answer === "positive" ? "▲ Positive" : "▼ Negative"}: ${counted(taken.pending, "label")} pending${taken.retrained ? "; a run began" : ""}.`);
    }
    done.add(text.id);
    texts = texts.filter((each) => each.id !== text.id && each.text !== text.text);
    show();
  });
  sending = false;
  if (answer !== "skip") await readNow();
}

function next({ pending, retrain_after, running }) {
  const left = Math.max(0, retrain_after - pending);
  return [
    h("p", { class: "big" }, `${number(pending)} of ${number(retrain_after)}`),
    h("div", { class: "progress", "aria-hidden": "true" }, sized(h("i"), "width", pending / retrain_after)),
    h("p", { class: "muted small run-line" }, running ? [`A run of ${running.by} is under way: ${running.step}.`] : pending ? `labels are pending; with ${number(left)} more a run begins by itself.` : "No labels are pending: decide some texts first."),
  ];
}

function last([run]) {
  if (!run) return empty("None yet.");
  return [
    h("p", {}, h("span", { class: `badge ${run.promoted ? "ok" : "unknown"}` }, run.promoted ? "learned and promoted" : run.retrained ? "learned, not promoted" : "nothing learned")),
    h("p", { class: "small muted" }, run.reason),
    facts([["Labels", number(run.labels)], ["Accuracy before", percent(run.champion.metrics?.accuracy)], ["Accuracy after", percent(run.challenger.metrics?.accuracy)], ["When", time(run.finished_at)]]),
  ];
}

function conflict({ text, labels }) {
  const says = (label) => labels.filter((each) => each.label === label).flatMap((each) => each.principals).join(", ") || "nobody";
  const settle = (label) => async () => {
    await attempt(async () => {
      await api("api/labels", { method: "POST", body: { text, label } });
      notice(`Your voice counts for ${label}.`);
    });
    await readNow();
  };
  return h("li", { class: "conflict" }, h("p", { class: "text" }, text),
    h("p", { class: "meta" }, h("span", {}, `▲ positive say: ${says(1)}`), h("span", {}, `▼ negative say: ${says(0)}`)),
    h("div", { class: "row" }, h("button", { type: "button", class: "compact", onclick: settle("positive") }, "It is positive"), h("button", { type: "button", class: "compact", onclick: settle("negative") }, "It is negative")));
}

async function read() {
  const answer = await api("api/label");
  showAway(answer.away);
  const kept = current();
  known = answer.texts !== null;
  texts = (answer.texts ?? []).filter((each) => !done.has(each.id));
  // The text that somebody reads stays, wherever it stands in the new list.
  if (kept && texts.some((each) => each.id === kept.id)) texts = [kept, ...texts.filter((each) => each.id !== kept.id)];
  show();
  fill(byId("next"), answer.pending === null ? null : { pending: answer.pending, retrain_after: answer.retrain_after, running: answer.running }, next);
  fill(byId("last"), answer.pending === null ? null : [answer.last_run], last);
  fill(byId("conflicts"), answer.conflicts, (conflicts) => (conflicts.length ? h("ul", { class: "list" }, conflicts.map(conflict)) : empty("None: nobody contradicts anybody.")));
}

const readNow = every(SECONDS, read);
for (const button of byId("decide").children) button.addEventListener("click", () => decide(button.dataset.answer));
onPress(byId("run-now"), async () => {
  const outcome = await api("api/retrain", { method: "POST" });
  notice(outcome.promoted ? "Learned: a new version is served." : `Not promoted: ${outcome.reason}.`);
  await readNow();
});

// Keys of one letter can be switched off, for whoever dictates or hits them by chance.
const keys = byId("keys");
keys.checked = localStorage.getItem("keys") !== "off";
keys.addEventListener("change", () => localStorage.setItem("keys", keys.checked ? "on" : "off"));
const ANSWERS = { p: "positive", n: "negative", s: "skip" };
document.addEventListener("keydown", (event) => {
  const answer = ANSWERS[event.key.toLowerCase()];
  if (!answer || !keys.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  event.preventDefault();
  decide(answer);
});
