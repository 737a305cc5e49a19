// The document of all functions, by Swagger UI: requests go to the functions themselves, through the gateway.
import { byId } from "./app.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const UNNAMED = ":is(input, select, textarea):not([aria-label])";
const nameOf = (field) => field.closest("[data-param-name]")?.dataset.paramName ?? (field.matches(".examples-select-element") ? "Example" : "Request body");

/** Swagger UI leaves fields without a name, and code that keys can't scroll. */
function mend() {
  const explorer = byId("explorer");
  for (const field of explorer.querySelectorAll(UNNAMED)) if (!field.labels?.length) field.setAttribute("aria-label", nameOf(field));
  for (const code of explorer.querySelectorAll("pre:not([tabindex])")) code.setAttribute("tabindex", "0");
  for (const button of explorer.querySelectorAll(".close-modal:not([aria-label])")) button.setAttribute("aria-label", "Close");
}
new MutationObserver(mend).observe(byId("explorer"), { childList: true, subtree: true });

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#explorer",
  presets: [window.SwaggerUIBundle.presets.apis],
  deepLinking: false,
  tryItOutEnabled: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  syntaxHighlight: { theme: "tomorrow-night" }, // whose letters can be read on its ground
  validatorUrl: null, // nothing is sent elsewhere
});
