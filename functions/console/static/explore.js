// The document of all functions, by Swagger UI: requests go to the functions themselves, through the gateway.
import "./app.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#explorer",
  presets: [window.SwaggerUIBundle.presets.apis],
  deepLinking: false,
  tryItOutEnabled: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // nothing is sent elsewhere
});
