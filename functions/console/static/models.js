// Which version is served, how good it is, how it came to be served; and another one in its place.
import { api, attempt, byId, counted, empty, every, facts, fill, h, logOdds, notice, number, percent, pValue, showAway, table, time } from "./app.js";
import { calibration } from "./chart.js";

const SECONDS = 10;

function served(model) {
  const metrics = model.metrics;
  return [
    facts([
      ["Version", h("code", {}, model.model), ["trained ", time(model.trained_at)]],
      ["Accuracy", percent(metrics?.accuracy), metrics ? `on ${counted(metrics.texts, "text")} held out` : "never measured"],
      ["Log loss", number(metrics?.log_loss), "nats; 0.69 is guessing"],
      ["Calibration error", percent(metrics?.calibration_error), "smaller is better"],
    ], "large"),
    facts([
      ["Trainer", model.algorithm, model.trainer],
      ["Looks at", model.features],
      ["Terms that it knows", number(model.vocabulary_size)],
      ["Learned from", counted(model.examples, "text"), model.data],
      ["Follows from", model.parent ? h("code", {}, model.parent) : "none: it is a first version"],
    ]),
  ];
}

function curve([metrics]) {
  if (!metrics?.calibration.some((bin) => bin.texts)) return empty("This version was never measured.");
  return [
    calibration("Calibration: the share of positive texts against the probability that the model gives", metrics.calibration, { format: percent }),
    h("details", {}, h("summary", {}, "As a table"), table([["It says"], ["Are positive", "number"], ["Texts", "number"]], metrics.calibration.filter((bin) => bin.texts).map((bin) => [percent(bin.mean_probability), percent(bin.share_positive), number(bin.texts)]), { caption: "Calibration by tenths of the probability" })),
  ];
}

function confusion([metrics]) {
  if (!metrics) return empty("This version was never measured.");
  const cell = (row, column) => h("td", { class: row === column ? "right" : null }, number(metrics.confusion[row][column]), h("small", {}, row === column ? "right" : "wrong"));
  const row = (name, index) => h("tr", {}, h("th", { scope: "row" }, `is ${name}`), cell(index, 0), cell(index, 1));
  return [
    h("table", { class: "confusion" }, h("caption", { class: "unseen" }, "Texts by their class and by the answer"),
      h("thead", {}, h("tr", {}, h("td", { class: "corner" }), h("th", { scope: "col" }, "answered negative"), h("th", { scope: "col" }, "answered positive"))),
      h("tbody", {}, row("negative", 0), row("positive", 1))),
    table([["Class"], ["Precision", "number"], ["Recall", "number"], ["Texts", "number"]], ["negative", "positive"].map((name) => [name, percent(metrics[name].precision), percent(metrics[name].recall), number(metrics[name].texts)]), { caption: "Precision and recall by class" }),
  ];
}

const TESTS = { holdout: "Held-out texts", recent: "Recent labels", all: "Both together", negative: "Negative ones", positive: "Positive ones" };

function contender(name, { model, metrics }, isServed) {
  return h("div", { class: isServed ? "served" : null }, h("h3", {}, name, isServed ? ": serves" : ""), model ? h("code", {}, model) : "not published",
    facts([["Accuracy", percent(metrics?.accuracy)], ["Log loss", number(metrics?.log_loss)], ["Calibration error", percent(metrics?.calibration_error)]]));
}

function run({ last_run: last, running }) {
  const goesOn = running ? h("p", { class: "empty" }, `A run of ${running.by} is under way: ${running.step}. It began `, time(running.started_at), ".") : null;
  if (!last) return [goesOn, empty("No run yet: ", h("a", { href: "label" }, "label some texts"), ", and let a run learn them.")];
  return [
    goesOn,
    h("p", {}, h("span", { class: `badge ${last.promoted ? "ok" : "unknown"}` }, last.promoted ? "challenger promoted" : "champion stays"), " ", last.reason, "."),
    h("p", { class: "muted small" }, `${counted(last.labels, "label")}, by ${last.by}, `, time(last.finished_at)),
    h("div", { class: "versus" }, contender("Champion", last.champion, !last.promoted), contender("Challenger", last.challenger, last.promoted)),
    last.tests ? table([["Compared on"], ["Texts", "number"], ["Champion right", "number"], ["Challenger right", "number"], ["Only champion", "number"], ["Only challenger", "number"], ["p", "number"], ["Says"]], Object.entries(last.tests).map(([name, test]) => [
      TESTS[name] ?? name, number(test.texts), percent(test.champion), percent(test.challenger), number(test.only_champion), number(test.only_challenger), pValue(test.p_value),
      h("span", { class: `badge ${test.worse ? "bad" : "ok"}` }, test.worse ? "worse" : "not worse"),
    ]), { caption: "Champion against challenger" }) : null,
    last.moved?.length ? h("details", {}, h("summary", {}, `The ${counted(last.moved.length, "word")} that moved most`), table([["Word"], ["Log-odds before", "number"], ["After", "number"]], last.moved.map((word) => [word.word, logOdds(word.before), logOdds(word.after)]), { caption: "Words that the challenger moved" })) : null,
    last.refused?.length ? table([["Refused, of"], ["Labels", "number"], ["Because"]], last.refused.map((each) => [each.principal, number(each.labels), each.reason]), { caption: "Labels that were left out" }) : null,
  ];
}

function versions({ model, versions: all }) {
  if (!all.length) return empty("No version yet: deploy.sh trains the first one.");
  const serve = (each) => {
    if (each.version === model) return h("span", { class: "badge ok" }, "served");
    if (each.problem) return h("span", { class: "badge bad" }, each.problem);
    return h("button", { type: "button", class: "compact", "aria-label": `Serve ${each.version}`, onclick: () => ask(model, each.version) }, "Serve this");
  };
  return table([["Version"], ["Serve"], ["Trained"], ["Accuracy", "number"], ["Log loss", "number"], ["Labels", "number"], ["Follows from"]], all.map((each) => [
    h("code", {}, each.version), serve(each), time(each.trained_at), percent(each.metrics?.accuracy), number(each.metrics?.log_loss), number(each.labels), each.parent ? h("code", {}, each.parent) : "–",
  ]), { caption: "Versions, newest first", rowClass: (index) => (all[index].version === model ? "current" : null) });
}

const promotions = (all) => (all.length ? h("ol", { class: "log" }, all.map((each) => h("li", {},
  h("span", {}, h("code", {}, each.to), each.from ? [" in place of ", h("code", {}, each.from)] : null),
  h("span", {}, each.reason),
  h("span", { class: "small muted" }, `by ${each.by}, `, time(each.at))))) : empty("Nothing was ever promoted."));

async function ask(from, to) {
  const dialog = byId("question");
  byId("question-from").textContent = from;
  byId("question-to").textContent = to;
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "yes") return;
  await attempt(async () => {
    const done = await api("api/rollback", { method: "POST", body: { to } });
    notice(`${done.model} is served now.`);
  });
  await readNow();
}

async function read() {
  const { served: model, retrain, away } = await api("api/models");
  showAway(away);
  fill(byId("served"), model, served);
  fill(byId("calibration"), model && [model.metrics], curve);
  fill(byId("confusion"), model && [model.metrics], confusion);
  fill(byId("run"), retrain && { last_run: retrain.last_run, running: retrain.running }, run);
  fill(byId("versions"), retrain && { model: retrain.model, versions: retrain.versions }, versions);
  fill(byId("promotions"), retrain && retrain.promotions, promotions);
}
const readNow = every(SECONDS, read);
