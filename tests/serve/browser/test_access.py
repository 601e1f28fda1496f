"""The page by keyboard alone, in both themes, with a token, and under its policy."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect
from tests.serve.browser.seen import SURFACE, drawn, get, open_tab, place_of, rest, shares

TABS = ("Events", "Outliers", "Which k", "Time", "Try a row")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def violations(page):
    """What axe finds, as lines to read."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    page.evaluate(axe.AXE_SCRIPT + "; 0")
    found = page.evaluate("rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES)
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    return [
        f"{v['id']}: {node['target']} {node['failureSummary'][:300]}"
        for v in found["violations"]
        for node in v["nodes"][:4]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("model", ["clicks", "tickets"])
def test_axe_finds_nothing_to_mend_in_any_tab(model, theme, pages, reading):
    page = pages.open(f"{reading}/?model={model}", theme=theme, bypass_csp=True, reduced_motion="reduce")
    page.locator("#clusters li .more").first.click()
    found = {}
    for tab in TABS if model == "clicks" else ("Events", "Try a row"):
        panel = open_tab(page, tab)
        if tab == "Which k":
            expect(panel.locator("svg").first).to_be_visible(timeout=20_000)
        if tab == "Try a row":
            panel.get_by_role("button", name=re.compile("Use a")).click()
            panel.get_by_role("button", name="Try it").click()
            expect(panel.locator(".p-head")).to_be_visible()
        found[tab] = violations(page)
    assert {tab: lines for tab, lines in found.items() if lines} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_mend_in_other_views(theme, pages, reading, serve, tmp_path):
    page = pages.open(f"{reading}/?model=clicks", theme=theme, bypass_csp=True, reduced_motion="reduce")
    found = {}
    page.locator("#clusters li .pick").first.dblclick()
    found["rename"] = violations(page)
    page.keyboard.press("Escape")
    panel = open_tab(page, "Time")
    panel.get_by_role("checkbox", name="compare with").check()
    panel.get_by_role("button", name="Show", exact=True).click()
    expect(panel.get_by_role("heading", name="What changed")).to_be_visible()
    found["compare"] = violations(page)
    page.get_by_role("button", name="Help").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found["help"] = violations(page)
    (tmp_path / "store").mkdir()
    empty = pages.open(serve({"store": tmp_path / "store"}), theme=theme, bypass_csp=True, wait="#nothing h2")
    found["empty"] = violations(empty)
    small = pages.open(f"{reading}/?model=clicks", theme=theme, bypass_csp=True, size=(420, 900))
    found["small"] = violations(small)
    token = pages.open(
        serve({"store": tmp_path / "store"}, token="s3cret"),
        theme=theme,
        bypass_csp=True,
        wait="#token-field",
    )
    found["token"] = violations(token)
    assert {view: lines for view, lines in found.items() if lines} == {}


def test_the_page_has_its_policy_and_the_answers_a_stricter_one(reading):
    for path in ("/", "/web/app.js", "/web/style.css"):
        headers = httpx.get(reading + path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    headers = httpx.get(f"{reading}/v1/models").headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["cache-control"] == "no-store"


def test_a_script_in_the_page_is_blocked(pages, reading):
    pages.expect("Content Security Policy|violates the following")
    page = pages.open(f"{reading}/?model=houses")
    said = page.evaluate(
        """() => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (e) => resolve(e.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "window.hit = 1";
          document.body.append(script);
          setTimeout(() => resolve("nothing was blocked"), 1000);
        })"""
    )
    assert said.startswith("script-src")
    assert page.evaluate("window.hit") is None
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=data:image/png,x onerror=\"window.hit = 1\">')"
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None


def test_the_page_cannot_be_put_in_a_frame(pages, reading):
    pages.expect("frame-ancestors|ERR_BLOCKED_BY_RESPONSE|chrome-error")
    page = pages.open(f"{reading}/?model=houses")
    outer = f"{reading}/outer"
    page.route(outer, lambda route: route.fulfill(content_type="text/html", body="<iframe src='/'></iframe>"))
    page.goto(outer)
    page.wait_for_timeout(500)
    inside = [frame for frame in page.frames if frame != page.main_frame]
    assert len(inside) == 1
    assert inside[0].locator("#map").count() == 0
    assert inside[0].url.startswith("chrome-error:")


def test_the_theme_is_that_of_the_system_until_another_is_chosen(pages, reading):
    page = pages.open(f"{reading}/?model=clicks", theme="dark")
    ground = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")  # noqa: E731
    dark = ground()
    page.emulate_media(color_scheme="light")
    light = ground()
    assert dark != light
    before = page.locator("#map").screenshot()
    page.get_by_role("button", name="Switch to the dark theme").click()
    assert ground() == dark
    rest(page)
    assert page.locator("#map").screenshot() != before  # the canvas too
    page.reload()
    page.wait_for_selector("#clusters li")
    assert ground() == dark
    page.keyboard.press("d")
    assert ground() == light


def focus(page):
    """What has the focus, in words."""
    return page.evaluate(
        """() => {
          const a = document.activeElement;
          const part = a.closest("#map, #clusters, [role=tablist], [role=tabpanel], #lineage, header")?.id
            || a.closest("[role=tablist], header")?.tagName || "";
          return [part, a.tagName, a.getAttribute("aria-label") ?? a.textContent.trim().slice(0, 30)];
        }"""
    )


def test_tab_goes_through_the_page_in_the_order_it_is_read(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    passed = []
    for _ in range(60):
        page.keyboard.press("Tab")
        passed.append(focus(page))
        if passed[-1][1] == "BODY":
            break
    parts = list(dict.fromkeys(part for part, *_ in passed if part))
    assert [p for p in parts if p in ("map", "clusters", "events", "lineage")] == [
        "map",
        "clusters",
        "events",
        "lineage",
    ]
    assert passed[0][2] == "Skip to the clusters"
    stops = [tag for part, tag, _ in passed if part == "clusters"]
    assert len(stops) <= 6  # one row of the list, not each of them


def test_every_stop_of_the_keyboard_is_seen(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    unseen = []
    for _ in range(24):
        page.keyboard.press("Tab")
        style = page.evaluate(
            """() => {
              const a = document.activeElement;
              const look = (e) => { const s = getComputedStyle(e); return [s.outlineStyle, s.outlineWidth, s.boxShadow].join(" "); };
              const around = [a, a.nextElementSibling, a.parentElement].filter(Boolean).map(look);
              return [a.tagName, a.getAttribute("aria-label") ?? a.textContent.trim().slice(0, 30), around];
            }"""
        )
        if not any(re.match(r"(solid|auto|dashed) [1-9]", s) or not s.endswith("none") for s in style[2]):
            unseen.append(style)
    assert unseen == []


def test_the_skip_link_leads_to_the_list(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focus(page)[0] == "clusters"


def test_arrows_go_through_the_tabs(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    page.get_by_role("tab", name="Events").focus()
    for name in (*TABS[1:], "Events"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
        expect(page.get_by_role("tabpanel")).to_have_count(1)
    page.keyboard.press("End")
    expect(page.get_by_role("tab", name="Try a row")).to_be_focused()
    page.reload()
    expect(page.get_by_role("tabpanel", name="Try a row")).to_be_visible()


def test_letters_open_tabs_but_not_while_one_types(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    for key, name in zip("owtre", (*TABS[1:], "Events"), strict=True):
        page.locator("body").press(key)
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("/")
    page.keyboard.type("wot")
    expect(page.get_by_role("tab", name="Events")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("searchbox")).to_have_value("wot")


def test_the_list_is_walked_with_arrows_and_selected_with_enter(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    ids = [row["id"] for row in shares(page)]
    page.locator("#clusters .pick").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    chosen = page.locator("#clusters .pick[aria-pressed=true]")
    expect(chosen).to_have_count(1)
    assert page.locator("#clusters li:has(.pick[aria-pressed=true])").get_attribute("data-id") == str(ids[1])
    page.keyboard.press("End")
    page.keyboard.press("F2")
    expect(page.locator(f"#clusters li[data-id='{ids[-1]}'] form input")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(f"#clusters li[data-id='{ids[-1]}'] .pick")).to_be_focused()
    page.keyboard.press("Escape")
    expect(chosen).to_have_count(0)
    page.keyboard.press("j")
    expect(chosen).to_have_count(1)


def test_the_map_is_walked_with_arrows_and_said_aloud(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    scene = get(reading, "clicks/scene")
    page.locator(SURFACE).focus()
    page.keyboard.press("Home")
    said = page.locator("#map p[aria-live]")
    expect(said).to_contain_text(f"1 of {scene['k']} by size")
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text(f"2 of {scene['k']} by size")
    expect(page.locator("#map .map-tip")).to_be_visible()
    page.keyboard.press("Enter")
    second = scene["clusters"][1]
    expect(page.locator("#clusters .pick[aria-pressed=true] .label")).to_have_text(second["label"])
    page.keyboard.press("Escape")
    expect(page.locator("#clusters .pick[aria-pressed=true]")).to_have_count(0)
    before = place_of(page, second["id"])
    page.keyboard.press("+")
    rest(page)
    zoomed = [t for t in drawn(page)["texts"] if t["text"] == str(second["id"])]
    assert not zoomed or (zoomed[0]["x"], zoomed[0]["y"]) != pytest.approx(before, abs=1)


def test_help_opens_and_closes_by_key(pages, reading):
    page = pages.open(f"{reading}/?model=clicks")
    page.locator("body").press("?")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("What is on this page")
    page.keyboard.press("w")  # letters belong to the dialog
    expect(page.get_by_role("tab", name="Events", include_hidden=True)).to_have_attribute(
        "aria-selected", "true"
    )
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_token_is_asked_for_until_it_is_right(pages, serve, houses):
    address = serve({"houses": houses[0]}, read_token="look", write_token="touch")
    page = pages.open(address, wait="#token-field")
    expect(page.locator("#live")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_visible()
    field = page.get_by_label("Token", exact=True).last
    field.fill("guess")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This token is not right.")
    field.fill("look")
    page.keyboard.press("Enter")
    expect(page.locator("#clusters li")).to_have_count(3)
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    # one that may only read cannot rename
    expect(page.locator("#clusters .pencil").first).to_have_attribute("aria-disabled", "true")
    page.locator("#clusters .pick").first.focus()
    page.keyboard.press("F2")
    expect(page.locator("#clusters form")).to_have_count(0)
    page.reload()
    expect(page.locator("#clusters li")).to_have_count(3)
    assert page.evaluate("Object.values(localStorage).join()").find("look") < 0
    assert page.evaluate("document.cookie") == ""


def test_a_token_in_the_address_is_taken_out_of_it(pages, serve, houses):
    address = serve({"houses": houses[0]}, token="s3cret")
    page = pages.open(f"{address}/?model=houses#token=s3cret")
    assert page.url == f"{address}/?model=houses"
    expect(page.locator("#clusters .pencil").first).to_have_attribute("aria-disabled", "false")


def test_who_wants_less_motion_gets_none(pages, reading):
    page = pages.open(f"{reading}/?model=clicks", reduced_motion="reduce")
    rest(page)
    before = drawn(page)["frames"]
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_timeout(500)
    assert drawn(page)["frames"] - before <= 4


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)], ids=["laptop", "wall"])
def test_the_page_fits_on_one_screen(size, pages, reading):
    page = pages.open(f"{reading}/?model=clicks", size=size)
    for tab in TABS:
        open_tab(page, tab)
        over = page.evaluate(
            "[document.documentElement.scrollHeight - innerHeight, document.documentElement.scrollWidth - innerWidth]"
        )
        assert max(over) <= 0, tab


def test_a_narrow_page_stacks_and_is_no_wider_than_the_screen(pages, reading):
    page = pages.open(f"{reading}/?model=clicks", size=(420, 900))
    places = [page.locator(part).bounding_box() for part in ("#map", "#clusters")]
    assert places[1]["y"] >= places[0]["y"] + places[0]["height"] - 1
    for tab in TABS:
        open_tab(page, tab)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, tab
