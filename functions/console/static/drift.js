// Whether the texts have drifted: the confirmed state, what the present window says, and how the checks went before.
import { api, byId, counted, effect, empty, every, facts, fill, h, notice, number, onPress, percent, pValue, say, sized, table, time, shortTime, showAway } from "./app.js";
import { lines } from "./chart.js";

const SECONDS = 20;
const LEVEL = 0.01;
const TESTS = {
  words: ["Words", "the word that moved most, Cohen's h"],
  score: ["Scores", "log-odds, distance of their distributions"],
  unknown_words: ["Unknown words", "their share, distance"],
  log_likelihood: ["Likelihood", "of the words, distance"],
  length: ["Length", "words in a text, distance"],
  error_rate: ["Error rate", "among labelled texts, the rise"],
};
const SAYS = { ok: "like the reference", drift: "unlike the reference", "not-enough-data": "too few texts to tell" };
const nameOf = (test) => TESTS[test]?.[0] ?? test;

function state(now) {
  const { window, reference, state: confirmed, expected_accuracy: expected } = now;
  const rate = window.error_rate ?? null;
  return [
    h("p", { class: "verdict-line" }, confirmed.drift ? "The texts have drifted" : "No drift", h("span", { class: `badge ${now.status === "ok" ? "ok" : now.status === "drift" ? "bad" : "unknown"}` }, `this window: ${SAYS[now.status]}`)),
    h("p", { class: "muted" }, confirmed.since ? ["Since ", time(confirmed.since), ". "] : "It has never been otherwise. ",
      confirmed.contrary_checks ? `${counted(confirmed.contrary_checks, "check")} in a row ${confirmed.contrary_checks === 1 ? "says" : "say"} otherwise; ${number(now.confirm)} change the state. ` : `It takes ${counted(now.confirm, "check")} in a row to change it. `,
      now.message ? `${now.message[0].toUpperCase()}${now.message.slice(1)}.` : ""),
    facts([
      ["Window", counted(window.documents, "text"), window.synthetic ? `${number(window.synthetic)} generated` : null],
      ["Reference", reference.documents ? counted(reference.documents, "text") : "none yet", { live: "live texts", holdout: "held out at training" }[reference.kind]],
      ["Expected accuracy", expected?.accuracy != null ? percent(expected.accuracy) : "–", expected?.accuracy != null ? `${percent(expected.low)} to ${percent(expected.high)}, without labels` : expected?.reason],
      ["Error rate, labelled", rate === null ? "–" : percent(rate), window.labelled ? counted(window.labelled, "label") : "no labels"],
      ["Looked at", time(now.checked_at)],
    ]),
  ];
}

function tests(found) {
  const names = Object.keys(TESTS).filter((name) => found[name]);
  if (!names.length) return empty("Nothing was compared: there are too few texts yet. Send more to predict or to the stream; 200 are enough.");
  return table([["Test"], ["Says"], ["p, corrected", "number"], ["Effect", "number"], ["Against its threshold"]], names.map((name) => {
    const test = found[name];
    const bar = h("span", { class: `effect ${test.effect_size >= test.threshold ? "beyond" : ""}`, "aria-hidden": "true" }, sized(h("i"), "width", test.effect_size / test.threshold / 3));
    return [[nameOf(name), h("span", { class: "small muted block" }, TESTS[name]?.[1] ?? "")], h("span", { class: `badge ${test.drift ? "bad" : "ok"}` }, test.drift ? "drift" : "ok"), pValue(test.adjusted_p_value), effect(test.effect_size), [bar, h("span", { class: "small muted" }, `threshold ${effect(test.threshold)}`)]];
  }), { caption: "The tests of this window" });
}

function words(moved) {
  if (!moved.length) return empty("No word has moved farther than chance would have it.");
  const most = Math.max(...moved.map((word) => Math.max(word.share_reference, word.share_window)));
  const bar = (name, share) => h("span", {}, sized(h("i", { "aria-hidden": "true" }), "width", share / most), h("span", {}, h("span", { class: "unseen" }, `${name} `), percent(share)));
  return [
    h("p", { class: "key small muted" }, h("span", {}, h("i", { class: "swatch then" }), "share of texts in the reference"), h("span", {}, h("i", { class: "swatch seen" }), "in this window")),
    h("ul", { class: "pairs" }, moved.map((word) => h("li", { class: "pair" }, h("b", {}, word.word), bar("reference", word.share_reference), bar("window", word.share_window)))),
  ];
}

/** The reports, oldest first, as series of one figure by test. */
function series(reports, figure) {
  const names = Object.keys(TESTS).filter((name) => reports.some((report) => report.tests[name]));
  return names.map((name) => ({ name: nameOf(name), values: reports.map((report) => (report.tests[name] ? figure(report.tests[name]) : null)) }));
}

const none = () => empty("No check has counted yet. Press “Check now”; the schedule checks by itself, too.");

function history(newestFirst, label, figure, options) {
  if (!newestFirst.length) return none();
  const reports = newestFirst.toReversed();
  const names = reports.map((report) => `#${number(report.number)}, ${shortTime(report.checked_at)}`);
  const found = series(reports, figure);
  const rows = names.map((name, index) => [name, ...found.map((each) => (each.values[index] === null ? "–" : options.format(each.values[index])))]);
  return [
    lines(label, names, found, options),
    h("details", {}, h("summary", {}, "As a table"), table([["Check"], ...found.map((each) => [each.name, "number"])], rows.toReversed(), { caption: label })),
  ];
}

function reportTable(reports) {
  if (!reports.length) return none();
  const worst = (report) => Object.entries(report.tests).filter(([, test]) => test.drift).map(([name]) => nameOf(name)).join(", ") || "–";
  return table([["Check"], ["When"], ["Window said"], ["Tests that told drift"], ["Words that moved"], ["State then"], ["Alert"]], reports.slice(0, 20).map((report) => [
    number(report.number), time(report.checked_at), SAYS[report.status], worst(report), report.words.slice(0, 4).map((word) => word.word).join(", ") || "–",
    h("span", { class: `badge ${report.state.drift ? "bad" : "ok"}` }, report.state.drift ? "drift" : "no drift"), report.alert ?? "–",
  ]), { caption: "Checks that counted, newest first" });
}

async function read() {
  const { now, reports: found, can_generate, away } = await api("api/drift");
  const reports = found && found.reports;
  showAway(away);
  const card = byId("state");
  fill(card, now, state);
  say(now ? `${now.state.drift ? "The texts have drifted" : "No drift"}, this window: ${SAYS[now.status]}` : "");
  card.classList.toggle("drifted", now?.state.drift === true);
  card.classList.toggle("calm", now?.state.drift === false);
  fill(byId("tests"), now && now.tests, tests);
  fill(byId("words"), now && now.words, words);
  fill(byId("p-values"), reports, () => history(reports, "Corrected p-values of each test, by check, on a logarithmic scale", (test) => test.adjusted_p_value, { limit: { value: LEVEL, name: "level 0.01" }, log: true, format: pValue }));
  fill(byId("effects"), reports, () => history(reports, "Effect sizes of each test as multiples of its threshold, by check", (test) => test.effect_size / test.threshold, { limit: { value: 1, name: "threshold" }, format: effect }));
  fill(byId("reports"), reports, reportTable);
  byId("generate").hidden = !can_generate;
  byId("remove").hidden = !can_generate;
}

const readNow = every(SECONDS, read);
onPress(byId("check"), async () => {
  const found = await api("api/drift", { method: "POST" });
  notice(found.number ? `Check ${number(found.number)} counted: ${SAYS[found.status]}.` : `Looked at, but not counted: ${found.status === "not-enough-data" ? "there are too few texts" : "half of the window must be new since the last check that counted"}.`);
  await readNow();
});
onPress(byId("generate"), async () => {
  const made = await api("api/generate-drift", { method: "POST" });
  notice(`${counted(made.generated, "text")} were sent, ${number(made.shifted)} of another kind.`);
  await readNow();
});
onPress(byId("remove"), async () => {
  const gone = await api("api/generate-drift", { method: "DELETE" });
  notice(gone.deleted ? `${counted(gone.deleted, "generated text")} removed.` : "There was none to remove.");
  await readNow();
});
