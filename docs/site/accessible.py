"""What the theme of the site leaves out for those who use a keyboard or a screen reader; axe-core tells."""

_MISSING = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="On this page">',
    # which scroll where it is narrow
    '<div class="highlight"><pre>': '<div class="highlight"><pre tabindex="0" role="group" aria-label="Code">',
    '<div class="table-wrapper ': '<div tabindex="0" role="group" aria-label="Table" class="table-wrapper ',
    '<div class="scroll" tabindex="0">': '<div class="scroll" tabindex="0" role="group" aria-label="Diagram">',
    # columns of a list
    '<table style="width: 100%" class="indextable': '<table role="presentation" style="width: 100%" class="indextable',
    # the results come by a script
    '<div id="search-results"></div>': '<h1>Search</h1><div id="search-results" aria-live="polite"></div>',
}


def accessible(page: str) -> str:
    """The HTML of a page with levels of all headings, and with everything that scrolls within reach of the keyboard."""
    for lacking, whole in _MISSING.items():
        page = page.replace(lacking, whole)
    return page
