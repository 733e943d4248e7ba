"""The page that logs a browser in, with the token of a link or with a string that the user pastes.

Prefect's own page asks for the string and does not say where to find it. All pages lead here while a browser
has no string.
"""

from __future__ import annotations

import base64
import hashlib

from darkroom.server import login_links

KEPT_AS = "prefect-password"
"""The name in the browser's local storage under which Prefect's pages look for the string, in base64."""

DOOR_PATH = "/darkroom/door.js"
DOOR = f"""\
if (!localStorage.getItem("{KEPT_AS}")) location.replace("{login_links.PATH}");
"""
"""The script that leads here from every page of Prefect's."""

_SCRIPT = f"""
const said = document.getElementById("said"), form = document.querySelector("form");
const enter = string => {{
  localStorage.setItem("{KEPT_AS}", string);
  location.replace("{login_links.RUNS_PAGE}");
}};
form.addEventListener("submit", async event => {{
  event.preventDefault();
  const string = btoa(form.elements.string.value.trim());
  const answer = await fetch("/api/admin/version", {{headers: {{Authorization: "Basic " + string}}}});
  if (answer.ok) enter(string);
  else said.textContent = "That is not the string of this project.";
}});
const spend = async () => {{
  const token = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  if (!token) return;
  const answer = await fetch(location.pathname, {{method: "POST", body: token}});
  const text = await answer.text();
  if (answer.ok) enter(text);
  else said.textContent = text;
}};
addEventListener("hashchange", spend);  // a link that is pasted here loads no page
spend();
"""
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem;
  color-scheme: light dark; }
form { display: flex; gap: .5rem; }
input { flex: 1; font: inherit; padding: .4rem .6rem; min-width: 0; }
button { font: inherit; padding: .4rem 1rem; }
"""
PAGE = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>darkroom: log in</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Log in</h1>
<p><code>darkroom ui</code>, in the project's folder, opens these pages logged in, and prints a link that
does. Or paste what stands in the file <code>.darkroom/prefect/auth</code> of the project:</p>
<form><input name="string" type="password" autocomplete="current-password" aria-label="The string" required>
<button>Log in</button></form>
<p id="said" role="status"></p>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
