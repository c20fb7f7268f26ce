"""The documentation site: Sphinx with Markdown (MyST) and the theme Furo. `make docs` builds it into build/docs."""

from text_recognizer.version import __version__

project = "text-recognizer"
author = "The text-recognizer authors"
project_copyright = "the text-recognizer authors, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns: list[str] = []

# Anchors of headings as on GitHub, where the same files are read too.
myst_heading_anchors = 3
myst_enable_extensions = ["smartquotes"]
suppress_warnings: list[str] = []

# The docstrings mark code by single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {
    name: name
    for name in (
        "Area",
        "BlockKind",
        "DocumentSource",
        "ImageSource",
        "Mode",
        "Place",
        "Point",
        "Polygon",
        "Polyline",
        "Source",
    )
}
python_maximum_signature_line_length = 100
add_module_names = False

html_theme = "furo"
html_title = "text-recognizer"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
# Prompts and output are not copied.
copybutton_exclude = ".linenos, .gp, .go"
