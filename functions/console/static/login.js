const form = document.querySelector("#login");

async function enter(token) {
  const answer = await fetch("login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ token }),
  });
  if (answer.ok) {
    location.replace("./");
  } else {
    document.querySelector("#problem").textContent = (await answer.json()).detail;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  enter(form.elements.token.value);
});

// The address that the local stack prints: a fragment never leaves the browser.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  history.replaceState(null, "", "login");
  enter(given);
}
