// Signing in. A token in the address's fragment, which no server and no log ever sees, signs in by itself.
import { api, byId, Problem } from "./app.js";

async function signIn(token) {
  const place = byId("problem");
  place.hidden = true;
  try {
    await api("login", { method: "POST", body: { token } });
    location.replace(byId("login").dataset.next);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    place.textContent = problem.status === 401 ? "This is not the token. Look whether all of it was copied." : `${problem.title}: ${problem.detail}`;
    place.hidden = false;
    byId("token").focus();
    byId("token").select();
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(byId("token").value.trim());
});

const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) {
  history.replaceState(null, "", location.pathname + location.search);
  signIn(fragment.get("token"));
}
