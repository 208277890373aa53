"""The page of a user study: one file with all pictures in it, which asks no server and tells none."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from mystyle_cli import __version__
from mystyle_cli.photos.encode import Beside, encode
from mystyle_cli.photos.marks import Provenance, source_type

if TYPE_CHECKING:
    from mystyle_cli.analysis.study import Study
    from mystyle_cli.photos.pixels import Pixels


def page_of(study: Study) -> bytes:
    """Return a study as HTML.

    Every picture in it carries the same record, that it may be made by AI, the photos too: else a look at the
    file would answer the questions. The person's name is in none.
    """
    marks = Provenance(
        command="study",
        profile="",
        prior=study.prior,
        beta=None,
        seed=None,
        version=__version__,
        digital_source_type=source_type("study"),
    )
    body = {
        "study": study.name,
        "references": [_picture(one, marks) for one in study.references],
        "questions": [
            {"name": one.name, "kind": one.kind, "pictures": [_picture(each, marks) for each in one.pictures]}
            for one in study.questions
        ],
    }
    return _PAGE.replace("@@STUDY@@", json.dumps(body).replace("<", "\\u003c")).encode()


def _picture(pixels: Pixels, marks: Provenance) -> str:
    stream = io.BytesIO()
    encode(pixels, stream, Beside(marks=marks))
    return f"data:image/png;base64,{b64encode(stream.getvalue()).decode()}"


# the page; its policy lets it load and send nothing
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="robots" content="noindex">
<title>A few questions about pictures</title>
<style>
:root { color-scheme: light dark; font: 1.05rem/1.45 system-ui, sans-serif; }
body { max-width: 40rem; margin: 0 auto; padding: 1rem; }
.row { display: flex; gap: .5rem; justify-content: center; margin: .75rem 0; }
.row img { flex: 1 1 0; min-width: 0; max-width: 16rem; border-radius: .3rem; }
.small img { max-width: 7rem; }
.row button { flex: 1 1 0; min-width: 0; max-width: 18rem; padding: .6rem; font: inherit; cursor: pointer; }
button img { width: 100%; display: block; margin-bottom: .4rem; }
.chosen { outline: .2rem solid Highlight; }
footer { opacity: .75; font-size: .9rem; margin-top: 1.5rem; }
[hidden] { display: none; }
</style>
</head>
<body>
<noscript>This page needs JavaScript to show one question after another.</noscript>
<main id="page">
<p id="place" aria-live="polite"></p>
<h1 id="asked"></h1>
<div id="references" class="row small"></div>
<div id="pictures" class="row"></div>
<div id="choices" class="row"></div>
<p><button id="back" type="button">Back</button></p>
</main>
<main id="end" hidden>
<h1>Thank you</h1>
<p>Save your answers as a file, and send it to who gave you this page. Nothing has been sent by itself.</p>
<p><button id="save" type="button">Save my answers</button> <button id="again" type="button">Back</button></p>
</main>
<footer>Some of these pictures are photographs, the others were made by AI. Keys: 1 or left arrow, 2 or right
arrow; Backspace goes back.</footer>
<script>
"use strict";
const study = @@STUDY@@;
const answers = {};
let at = 0;
const byId = (id) => document.getElementById(id);
const picture = (source, text) => {
  const image = document.createElement("img");
  image.src = source;
  image.alt = text;
  return image;
};
const choose = (choice) => {
  if (at >= study.questions.length) return;
  answers[study.questions[at].name] = choice;
  at += 1;
  show();
};
const back = () => {
  if (at > 0) at -= 1;
  show();
};
const option = (question, choice, text, source) => {
  const button = document.createElement("button");
  button.type = "button";
  if (source) button.append(picture(source, text));
  button.append(text);
  if (answers[question.name] === choice) button.className = "chosen";
  button.addEventListener("click", () => choose(choice));
  return button;
};
const show = () => {
  const done = at >= study.questions.length;
  byId("page").hidden = done;
  byId("end").hidden = !done;
  if (done) return;
  const question = study.questions[at];
  const [first, second] = question.pictures;
  const real = question.kind === "real";
  byId("place").textContent = `Question ${at + 1} of ${study.questions.length}`;
  byId("asked").textContent = real
    ? "Is this a photograph, or was it made by a computer?"
    : "Which picture looks more like the person of these photographs?";
  byId("references").replaceChildren(
    ...(real ? [] : study.references.map((source) => picture(source, "the person"))));
  byId("pictures").replaceChildren(...(real ? [picture(first, "the picture in question")] : []));
  byId("choices").replaceChildren(
    option(question, "first", real ? "1: a photograph" : "1: this one", real ? "" : first),
    option(question, "second", real ? "2: made by a computer" : "2: this one", real ? "" : second));
  byId("back").disabled = at === 0;
};
const save = () => {
  const body = { mystyle: "study answers", format: 1, study: study.study, answers };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(body)], { type: "application/json" }));
  link.download = `answers-${study.study}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
};
byId("back").addEventListener("click", back);
byId("again").addEventListener("click", back);
byId("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "1" || event.key === "ArrowLeft") choose("first");
  else if (event.key === "2" || event.key === "ArrowRight") choose("second");
  else if (event.key === "Backspace") back();
  else return;
  event.preventDefault();
});
show();
</script>
</body>
</html>
"""
