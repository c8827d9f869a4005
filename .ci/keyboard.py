"""A page as it is to those who have no mouse and no eyes: walked by Tab in a real browser, and its structure read.

It finds what axe-core does not: where the focus goes and whether one sees it, what opens by Enter and by Space, what a
screen reader calls each thing, and what lies over it.
"""

from collections.abc import Iterator

from browser import Browser

MOST = 400  # stops that are walked of a page
# What can be reached, in the order of the document; a radio button stands for its group, as the browser has it.
_STOPS = """
document.head.append(Object.assign(document.createElement('style'), {  // what glides would be seen on its way
  textContent: '* { scroll-behavior: auto !important; transition: none !important; animation: none !important }'}));
window.stops = [...document.querySelectorAll(
  'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]')].filter(
  e => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({visibilityProperty: true})
    && !e.closest('[inert]') && e.getBoundingClientRect().width > 0);
window.what = e => !e || e === document.body ? '' : e.tagName.toLowerCase() + (e.className && e.className.trim
  ? '.' + e.className.trim().split(/\\s+/).join('.') : '') + ' "' + (e.getAttribute('aria-label') || e.textContent)
  .trim().slice(0, 40) + '"';
document.activeElement.blur();
window.scrollTo(0, 0);
"""
# Of the element that has the focus: which stop it is, whether one sees that it has it, and whether it is covered.
_AT = """(() => {
  const e = document.activeElement, style = getComputedStyle(e);
  const boxes = [...e.getClientRects()].map(box => [
    Math.max(box.left, 0), Math.max(box.top, 0), Math.min(box.right, innerWidth), Math.min(box.bottom, innerHeight)]);
  const seen = boxes.some(([left, top, right, bottom]) => right > left && bottom > top && [0.1, 0.5, 0.9].some(part => {
    const on = document.elementFromPoint(left + part * (right - left), top + 0.5 * (bottom - top));
    return on && (e.contains(on) || on.contains(e) && !on.matches('th, td'));
  }));
  const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== 'none';
  return {at: stops.indexOf(e), what: what(e), ring: e.matches(':focus-visible') && ring && style.opacity > 0.5, seen};
})()"""
_STRUCTURE = """(() => {
  const faults = [], shown = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility());
  const of = selector => shown.filter(e => e.matches(selector) && !e.closest('[aria-hidden=true]'));
  const named = e => (e.getAttribute('aria-label') || '').trim() || e.getAttribute('aria-labelledby')
    || [...e.children].some(child => child.tagName.toLowerCase() === 'title' && child.textContent.trim());
  if (!document.documentElement.lang) faults.push('says no language');
  if (!document.title.trim()) faults.push('has no title');
  if (of('main, [role=main]').length !== 1) faults.push('has no main part, or several');
  if (of('h1').length !== 1) faults.push(`has ${of('h1').length} headings of the first level`);
  let before = 0;
  for (const heading of of('h1, h2, h3, h4, h5, h6')) {
    const level = +heading.tagName[1];
    if (before && level > before + 1) faults.push(`the heading ${what(heading)} follows one of level ${before}`);
    before = level;
  }
  for (const table of of('table:not([role=presentation])')) {
    const heads = [...table.querySelectorAll('th')];
    if (!heads.length) faults.push(`a table without a header cell, which begins with ${what(table)}`);
    else if (heads.some(head => !head.scope && !head.closest('thead')))
      faults.push(`a header cell of neither a row nor a column, in the table that begins with ${what(table)}`);
  }
  for (const svg of of('svg')) {
    if (svg.parentElement.closest('svg')) continue;
    if (svg.getAttribute('role') !== 'img' || !named(svg)) {
      if (svg.closest('a, button, label')) continue;  // which has a name of its own
      faults.push(`a drawing that says nothing to those who do not see it, in ${what(svg.parentElement)}`);
    }
  }
  for (const box of shown) {
    const style = getComputedStyle(box), scrolls = /auto|scroll/.test(style.overflowX)
      && box.scrollWidth > box.clientWidth + 1 || /auto|scroll/.test(style.overflowY)
      && box.scrollHeight > box.clientHeight + 1;
    if (scrolls && box.tabIndex < 0 && !box.querySelector('a[href], button, input, [tabindex="0"]'))
      faults.push(`what scrolls and cannot be reached by the keyboard: ${what(box)}`);
  }
  for (const first of of('[tabindex]'))
    if (first.tabIndex > 0) faults.push(`an order of its own, which begins with ${what(first)}`);
  return [...new Set(faults)];
})()"""

# A script makes the results one by one, and changes the heading when it has done.
_RESULTS = """(async () => {
  const heading = () => (document.querySelector('#search-results h2') || {textContent: ''}).textContent;
  for (let tries = 0; tries < 600 && !/results/i.test(heading()); tries++)
    await new Promise(then => setTimeout(then, 100));
  return !!document.querySelector('#search-results li a');
})()"""


def faults(window: Browser) -> Iterator[str]:
    """What is wrong with the page that is open."""
    window.evaluate(_STOPS)
    yield from window.evaluate(_STRUCTURE)
    for kind, places in {**_nameless(window), **_walk(window)}.items():
        yield f"{kind}: {places[0]}" + (f", and {len(places) - 1} more" if len(places) > 1 else "")
    yield from _opened(window)
    window.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")


def search(window: Browser, word: str) -> Iterator[str]:
    """What is wrong with the search of the documentation, one page of which is open."""
    window.evaluate(_STOPS)
    for _ in range(MOST):
        window.press("Tab")
        if window.evaluate("document.activeElement.matches('[role=search] input')"):
            break
    else:
        yield "the field of the search is not reached by Tab"
        return
    window.write(word)
    window.press("Enter")
    window.loaded()
    window.evaluate(_STOPS)
    if not window.evaluate(_RESULTS):
        yield f"the search finds nothing of '{word}'"
        return
    yield from faults(window)


def _nameless(window: Browser) -> dict[str, list[str]]:
    """What a screen reader stops at and can say nothing of."""
    found: dict[str, list[str]] = {}
    for node in window.accessibility_tree():
        role = node.get("role", {}).get("value", "")
        focusable = any(each["name"] == "focusable" and each["value"]["value"] for each in node.get("properties", ()))
        if node.get("ignored") or not focusable or role in {"RootWebArea", "Iframe"}:
            continue
        if role in {"generic", "none", ""} or not node.get("name", {}).get("value", "").strip():
            place = window.outer_html(node["backendDOMNodeId"])[:100]
            found.setdefault("a stop without a role or a name for a screen reader", []).append(place)
    return found


def _walk(window: Browser) -> dict[str, list[str]]:
    """By Tab from the top to the end, and a step back."""
    stops = int(window.evaluate("stops.length"))
    expected, met, found = min(stops, MOST), list[int](), dict[str, list[str]]()
    for _ in range(expected):
        window.press("Tab")
        at = window.evaluate(_AT)
        if not at["what"]:
            break
        if met and at["at"] == met[-1]:
            found.setdefault("the focus does not leave", []).append(at["what"])
            break
        if at["at"] < 0 or (met and at["at"] < met[-1]):
            found.setdefault("out of the order of the page", []).append(at["what"])
        if not at["ring"]:
            found.setdefault("one does not see what has the focus", []).append(at["what"])
        if not at["seen"]:
            found.setdefault("what has the focus is out of sight, or something lies over it", []).append(at["what"])
        met.append(at["at"])
    if missed := [place for place in range(expected) if place not in met]:
        found["not reached by Tab"] = window.evaluate(f"{missed}.map(place => what(stops[place]))")
    elif len(met) > 1:
        window.press("Tab", shift=True)
        back = window.evaluate(_AT)
        if back["at"] != met[-2]:
            found["Shift and Tab lead elsewhere than back"] = [back["what"]]
    return found


def _opened(window: Browser) -> Iterator[str]:
    """What folds opens by Enter and by Space."""
    for place in range(int(window.evaluate("document.querySelectorAll('summary').length"))):
        it = f"document.querySelectorAll('summary')[{place}]"
        if not window.evaluate(f"{it}.checkVisibility() && ({it}.focus(), true)"):
            continue
        states = [window.evaluate(f"{it}.parentElement.open")]
        for key in ("Enter", "Space"):
            window.press(key)
            states.append(window.evaluate(f"{it}.parentElement.open"))
        if states != [states[0], not states[0], states[0]]:
            yield f"{window.evaluate(f'what({it})')} does not open and close by Enter and Space"
