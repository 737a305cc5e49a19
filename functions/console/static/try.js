// A text and its answer as one types: the newest text's answer wins, and the words that decided are tinted in it.
import { api, attempt, byId, empty, facts, fill, h, logOdds, meter, number, percent, say, sized, table, verdict } from "./app.js";

const PAUSE_MILLISECONDS = 180;
const MOST_WORDS = 12;
const DEPTHS = 4;
const EXAMPLES = [
  "I love this film: warm, funny, and beautifully acted.",
  "What a bore. Two hours of my life that nobody gives back.",
  "The plot is thin and the jokes are old, but the ending moved me.",
];

const box = byId("text");
let asked; // of the answer that is under way, what takes it back
let timer;

/** The words of a text with their places, by the rule of each kind of model: see docs/model.md. */
const RULES = [
  // Punctuation is removed, not replaced: don't is dont.
  (text) => [...text.matchAll(/[\p{L}\p{N}](?:[\p{L}\p{N}!-/:-@[-`{-~]*[\p{L}\p{N}])?/gu)].map((found) => ({
    word: found[0].toLowerCase().replace(/[!-/:-@[-`{-~]/g, ""), start: found.index, end: found.index + found[0].length,
  })).filter(({ word }) => word.length > 1),
  (text) => [...text.matchAll(/[\p{L}\p{N}_]+|[!?]/gu)].map((found) => ({
    word: found[0].toLowerCase(), start: found.index, end: found.index + found[0].length,
  })),
];

/** What each word of a text adds: of a sequence each of its words an equal part, of one that comes again each time. */
function shares(tokens, terms) {
  const weights = tokens.map(() => 0);
  let found = 0;
  for (const { word, log_odds } of terms) {
    const parts = word.split(" ");
    const places = [...tokens.keys()].filter((at) => parts.every((part, index) => tokens[at + index]?.word === part));
    found += places.length > 0;
    for (const at of places) parts.forEach((_, index) => (weights[at + index] += log_odds / places.length / parts.length));
  }
  return { tokens, weights, found };
}

function tinted(text, terms) {
  const [one, other] = RULES.map((rule) => shares(rule(text), terms));
  const { tokens, weights } = other.found > one.found ? other : one;
  const strongest = Math.max(0.5, ...weights.map(Math.abs));
  const pieces = [];
  let end = 0;
  tokens.forEach((token, index) => {
    const weight = weights[index];
    const depth = Math.ceil((Math.abs(weight) / strongest) * DEPTHS);
    if (Math.abs(weight) < strongest * 0.04) return;
    pieces.push(text.slice(end, token.start));
    pieces.push(h("mark", { class: `${weight > 0 ? "positive" : "negative"} d${depth}`, title: logOdds(weight) }, text.slice(token.start, token.end)));
    end = token.end;
  });
  return [...pieces, text.slice(end)];
}

function bar(value, most, neutral = false) {
  const size = Math.abs(value) / most / 2;
  const line = h("i", { class: neutral ? "neutral" : value < 0 ? "negative" : null });
  sized(line, "width", size);
  sized(line, "left", value < 0 ? 0.5 - size : 0.5);
  return h("span", { class: "sides", "aria-hidden": "true" }, line);
}

function wordTable({ words, bias, log_odds }) {
  const first = words.slice(0, MOST_WORDS);
  const others = words.slice(MOST_WORDS);
  const rest = others.reduce((sum, word) => sum + word.log_odds, 0);
  const most = Math.max(...[...first.map((word) => word.log_odds), rest, bias, 0.01].map(Math.abs));
  const rows = first.map((word) => [word.word, bar(word.log_odds, most), logOdds(word.log_odds)]);
  if (others.length) rows.push([`${number(others.length)} other words together`, bar(rest, most), logOdds(rest)]);
  rows.push(["Bias, which every text begins with", bar(bias, most, true), logOdds(bias)]);
  return table([["Word"], ["Speaks for", "bar"], ["Log-odds", "number"]], rows, {
    caption: "What each word adds to the log-odds",
    foot: ["Sum: above 0 is positive", "", logOdds(log_odds)],
  });
}

function show(text, answer) {
  byId("why").hidden = !answer;
  if (!answer) {
    fill(byId("answer"), "nothing", () => empty("No text yet: write one, or take one of the examples."));
    say("");
    return;
  }
  fill(byId("answer"), answer, () => [
    h("div", { class: "headline" }, verdict(answer.prediction), h("span", { class: "number" }, percent(Math.max(answer.probability, 1 - answer.probability)))),
    meter(answer.probability),
    h("div", { class: "scale", "aria-hidden": "true" }, h("span", {}, "negative"), h("span", {}, "undecided"), h("span", {}, "positive")),
    facts([
      ["Probability of positive", percent(answer.probability)],
      ["Log-odds", logOdds(answer.log_odds)],
      ["Words that it knows", number(answer.words.length)],
    ]),
    h("p", { class: "small muted by" }, "by version ", h("code", {}, answer.model)),
  ]);
  say(`${answer.prediction}, probability of positive ${percent(answer.probability)}`);
  byId("tinted").replaceChildren(...tinted(text, answer.words));
  fill(byId("words"), answer, () => (answer.words.length ? wordTable(answer) : empty("The model knows none of these words, so the bias alone decided.")));
}

async function ask() {
  asked?.abort();
  const text = box.value;
  if (!text.trim()) return show(text, null);
  const own = (asked = new AbortController());
  byId("answer").setAttribute("aria-busy", "true");
  await attempt(async () => {
    try {
      const answer = await api("api/predict", { method: "POST", body: { text }, signal: own.signal });
      if (own === asked) show(text, answer);
    } catch (error) {
      if (error.name !== "AbortError" && own === asked) throw error;
    }
  }, ask);
  if (own === asked) byId("answer").setAttribute("aria-busy", "false");
}

box.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE_MILLISECONDS);
});
byId("examples").append(...EXAMPLES.map((example) => h("button", {
  type: "button",
  class: "chip",
  onclick: () => {
    box.value = example;
    ask();
    box.focus();
  },
}, example)));
ask();
