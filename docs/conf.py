"""The site of the documents: `make site` builds it with Sphinx from the same Markdown that git shows.

The source folder is the repository: README.md, the results of benchmarks and links to code are found as they
stand. A link to a file that is no page (a test, dvc.yaml) leads to a copy of it in the site, which therefore
works without a network.
"""

from sphinx.application import Sphinx

MENU = {
    "Start": ["quickstart", "own_pictures", "dvc_repository", "adding_a_stage", "parameters"],
    "Run": [
        "operations",
        "results",
        "stage_keys",
        "gpus",
        "scaling",
        "unattended",
        "server",
        "sweeps",
        "releases",
        "scoring",
    ],
    "Models": [
        "predictions",
        "exports",
        "python_api",
        "classifier",
        "detector",
        "generation",
        "fusion",
        "repair",
    ],
    "Help": ["troubleshooting", "faq", "promises", "comparison", "../CHANGELOG"],
    "Inside": ["architecture", "decisions", "../README", "../CONTRIBUTING", "../SECURITY"],
}
"""The pages of the menu by its titles. In index.md, GitHub would show them as code."""

project = "darkroom"
author = "The darkroom developers"
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "benchmarks/**/results/*.md"]
exclude_patterns = [".venv", ".darkroom", ".mutants", "data", "site"]
extensions = ["myst_parser"]
suppress_warnings = [
    "toc.not_included",  # what is reached by a link and not by the menu: results of benchmarks
    "myst.header",  # a page that begins with a second level
    "misc.highlighting_failure",  # a shown dvc.yaml with dots in it
]

myst_heading_anchors = 4

highlight_language = "none"  # blocks without a language are commands and what they print

html_theme = "furo"
html_title = "darkroom"
html_additional_pages = {"index": "redirect.html"}
templates_path = ["templates"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_permalinks_icon = "#"


def add_menu(app: Sphinx, name: str, text: list[str]) -> None:
    """Append the menu to the text of the first page."""
    if name == app.config.root_doc:
        for title, pages in MENU.items():
            text[0] += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```\n"])


def setup(app: Sphinx) -> None:
    """Have Sphinx call what this file adds to it."""
    app.connect("source-read", add_menu)
