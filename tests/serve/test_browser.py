"""The page as people use it, in Chromium: an album, a wrong person, a bad file, a phone, the keyboard."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from mystyle_cli.instant import net
from mystyle_cli.learn import betas
from mystyle_cli.person.profile import Profile
from mystyle_cli.photos.marks import read_marks
from mystyle_cli.projection.settings import STEPS
from mystyle_cli.store.store import Store
from tests.support.pages import page_of
from tests.support.portraits import clear, expected

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = {"width": 360, "height": 640}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window; nothing outside this machine can be reached from it."""
    if CHROMIUM is None:
        pytest.skip("no chromium is installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    with playwright.sync_playwright() as player:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = player.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def store(made_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store that is served: ada is in it."""
    folder = tmp_path_factory.mktemp("served") / "store"
    shutil.copytree(made_store, folder)
    return Store(folder)


@pytest.fixture(scope="module")
def url(store: Store, tiny_prior: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page; learning is short there."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(tiny_prior, home / "priors" / "tiny-32")
    small = partial(net.InstantSettings, samples=8, views=1, width=4, steps=4, batch=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYSTYLE_HOME", str(home))
        patch.setattr(net, "InstantSettings", small)
        patch.setattr(betas, "STEPS", 1)
        patch.setitem(STEPS, "person", 1)
        with page_of(store) as client:
            yield client.url


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that knows nothing yet."""
    with browser.new_context() as context:
        context.set_default_timeout(600_000)  # however slow the machine is
        yield context


@pytest.fixture
def page(context: BrowserContext, url: str) -> Iterator[Page]:
    """The page, open; no error may come up in it, and nothing is asked for elsewhere."""
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(LOCAL) else None)
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    assert "token" not in page.url
    yield page
    assert not wrong


LOCAL = ("http://127.0.0.1:", "blob:http://127.0.0.1:")


def give(page: Page, photo: Path) -> None:
    """Choose a photo to work on."""
    page.set_input_files("#photo", photo)
    page.wait_for_selector("#chosen:not([hidden])")


def shown(page: Page, selector: str) -> Locator:
    """Wait until something is shown."""
    page.wait_for_selector(f"{selector}:not([hidden])")
    return page.locator(selector)


def test_from_an_album_to_a_restored_photo(page: Page, store: Store, tmp_path: Path) -> None:
    """Verdicts with their reasons, one overruled; then a photo of the person, before and after, saved."""
    verdicts = expected("ada")
    covered = next(name for name, verdict in verdicts.items() if verdict == "occluded")
    album = [*(clear("ada", number) for number in range(4)), clear("ada").parent / covered]
    page.click("#tab-teach")
    page.fill("#name", "eve")
    page.fill("#consent", "by letter")
    page.set_input_files("#album", album)
    page.click("#learn details summary")
    page.select_option("#prior", "tiny-32")
    page.fill("#passes", "1")
    page.click("#look")
    sheet = shown(page, "#verdicts")
    assert "4 kept" in sheet.inner_text()
    refused = page.locator("#sheet li:not(.kept)")
    assert "occluded" in refused.inner_text()
    assert "covers" in refused.inner_text()
    page.wait_for_function("[...document.querySelectorAll('#sheet img')].every((one) => one.naturalWidth)")
    refused.locator("input").check()
    page.click("#go-on")
    assert "5 kept" in shown(page, "#learned").inner_text()
    assert store.entry("eve").state == "ready"
    assert [record.detail for record in store.open("eve").records if "hand" in record.detail]
    page.click("#learned button")
    page.check("input[name=person][value=eve]")
    give(page, clear("ada", 5))
    page.check("input[name=quality][value=fast]")
    page.click("#go")
    result = shown(page, "#result")
    assert "16 steps" in result.inner_text()
    assert "ID" in page.inner_text("#likeness")
    page.locator("#compare").hover(position={"x": 30, "y": 50})
    page.mouse.down()
    assert float(page.input_value("#split")) < 20
    page.mouse.up()
    with page.expect_download() as saved:
        page.click("#save")
    assert saved.value.suggested_filename == f"{clear('ada', 5).stem}.restore.png"
    saved.value.save_as(tmp_path / "out.png")
    marks = read_marks(tmp_path / "out.png")
    assert marks is not None
    assert (marks.command, marks.profile) == ("restore", "eve")
    several_answers(page)


def several_answers(page: Page) -> None:
    """Ask for three answers to a photo with a hole, look at the second, and save the map of all."""
    give(page, clear("ada", 5))
    assert page.locator("#variants").is_visible() is False  # what is searched fast has one
    page.check("input[name=quality][value=full]")
    page.select_option("#variants", "3")
    page.check("input[name=task][value=inpaint]")
    page.check("input[name=part][value=mouth]")
    page.click("#go")
    shown(page, "#answers")
    *answers, _ = names = page.locator("#answers label").all_inner_texts()
    assert names == [*(f"Answer {number + 1}" for number in range(len(answers))), "Where they differ"]
    first, likeness = page.get_attribute("#after", "src"), page.inner_text("#likeness")
    page.check("#answers label:last-child input")
    page.wait_for_function("(first) => document.getElementById('after').src !== first", arg=first)
    assert page.inner_text("#likeness") == ""
    with page.expect_download() as saved:
        page.click("#save")
    assert saved.value.suggested_filename == f"{clear('ada', 5).stem}.inpaint-open.png"
    page.evaluate("[...document.querySelectorAll('#answers input')].reverse().forEach((one) => one.click())")
    page.wait_for_function("(first) => document.getElementById('after').src === first", arg=first)
    assert page.inner_text("#likeness") == likeness != ""


def test_another_photo_given_meanwhile(page: Page) -> None:
    """What was made belongs to the photo that was worked on: beside it, and saved under its name."""
    page.check("input[name=person][value=ada]")
    give(page, clear("ada", 5))
    chosen = page.get_attribute("#thumbnail", "src")
    page.check("input[name=task][value=inpaint]")
    page.check("input[name=part][value=mouth]")
    held: list[Route] = []
    page.route("**/results/*/0", lambda route: held.append(route))
    with page.expect_request("**/results/*/0"):
        page.click("#go")
    page.set_input_files("#photo", clear("ada", 4))
    page.wait_for_function("(first) => document.getElementById('thumbnail').src !== first", arg=chosen)
    held[0].continue_()
    with page.expect_download() as saved:
        shown(page, "#result").locator("#save").click()
    assert saved.value.suggested_filename == f"{clear('ada', 5).stem}.inpaint.png"
    assert page.get_attribute("#before", "src") == chosen
    assert page.evaluate("document.getElementById('before').naturalWidth") > 0


def test_a_wrong_person_is_refused_and_told_twice(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the command's words; who goes on anyway is asked once more, and the result says it again."""
    monkeypatch.setattr(Profile, "id_threshold", 2.0)
    give(page, clear("marco"))
    page.click("#go")
    error = shown(page, "#work-error")
    assert "this is not ada: ID" in error.inner_text()
    assert page.is_hidden("#result")
    page.click("text=Go on anyway")
    assert "Go on only if you are sure that it is ada" in error.inner_text()
    assert page.is_hidden("#result")
    page.click("text=Yes, it is ada")
    assert "this is not ada: ID" in shown(page, "#result").locator("#result-warnings").inner_text()


def test_a_bad_file_is_refused(page: Page, tmp_path: Path) -> None:
    """In the command's words; the next one is taken."""
    bad = tmp_path / "letter.jpg"
    bad.write_bytes(b"\xff\xd8 Dear Adele")
    page.set_input_files("#photo", bad)
    assert "letter.jpg: is not a picture in a known format" in shown(page, "#photo-error").inner_text()
    assert page.is_hidden("#chosen")
    give(page, clear("ada"))
    assert page.is_hidden("#photo-error")


def overflowing(page: Page) -> list[str]:
    """Return what is shown and reaches over the page's right edge."""
    return list(
        page.evaluate(
            """() => [...document.querySelectorAll('body *')]
            .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 0.5)
            .map((one) => `${one.tagName} ${one.id} ${one.getBoundingClientRect().right}`)"""
        )
    )


def test_a_phone_s_width(page: Page) -> None:
    """Nothing reaches over the edge, and what is pressed is large enough for a finger."""
    page.set_viewport_size(PHONE)
    assert overflowing(page) == []
    give(page, clear("ada"))
    page.check("input[name=task][value=inpaint]")
    assert overflowing(page) == []
    page.click("#go")
    shown(page, "#work-error")
    page.check("input[name=part][value=mouth]")
    page.click("#go")
    shown(page, "#result")
    assert overflowing(page) == []
    for button in page.locator("button:visible, a.button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    page.click("#tab-teach")
    page.click("#learn details summary")
    assert overflowing(page) == []


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until something has the focus."""
    for _ in range(60):
        if page.evaluate("(wanted) => document.activeElement?.matches(wanted)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached")


def test_by_keyboard_alone(page: Page) -> None:
    """Who, what, where and how free; a mask by arrow keys; the divider; and what is told is led to."""
    page.focus("body")
    tab_to(page, "#tab-repair")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#learn")
    page.keyboard.press("ArrowLeft")
    tab_to(page, "input[name=person]")
    tab_to(page, "#photo")
    give(page, clear("ada"))
    tab_to(page, "input[name=task]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#where")
    tab_to(page, "#canvas")
    for key in ("ArrowUp", " ", "ArrowLeft", "ArrowRight", " "):
        page.keyboard.press(key)
    assert "The brush is up" in page.inner_text("#brush-help")
    tab_to(page, "#beta")
    page.keyboard.press("Home")
    assert page.inner_text("#beta-word") == "0"
    page.keyboard.press("End")
    assert page.inner_text("#beta-word") == "without a bound"
    tab_to(page, "#go")
    page.keyboard.press("Enter")
    shown(page, "#result")
    assert "drift away" in page.inner_text("#result-warnings")
    assert page.evaluate("document.activeElement.id") == "result-title"
    tab_to(page, "#split")
    page.keyboard.press("End")
    cut = page.evaluate("getComputedStyle(document.getElementById('after')).clipPath")
    assert cut == "inset(0px 0px 0px 100%)"
    tab_to(page, "#save")
    with page.expect_download() as saved:
        page.keyboard.press("Enter")
    with (
        Image.open(io.BytesIO(Path(saved.value.path()).read_bytes())) as image,
        Image.open(clear("ada")) as photo,
    ):
        changed = (np.array(image) != np.array(photo.convert("RGB"))).any(axis=2)
    assert 0.001 < changed.mean() < 0.2


def test_everything_has_a_name_and_can_be_read(page: Page) -> None:
    """What is pressed, chosen or typed in is named for who hears it; dark is dark."""
    give(page, clear("ada"))
    page.check("input[name=task][value=inpaint]")
    for tab in ("#tab-repair", "#tab-teach"):
        page.click(tab)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, textarea, canvas, img, a')]
            .filter((one) => one.checkVisibility())
            .filter((one) => !(one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label')
              || one.hasAttribute('alt')))
            .map((one) => one.outerHTML)"""
        )
        assert nameless == []
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
