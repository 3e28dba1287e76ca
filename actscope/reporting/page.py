"""Makes the page of what was gathered: one file, in which nothing of the recording is HTML.

The content stands in the page as JSON in which no character can end its element, and the script
puts it into the page as text. The page may load nothing and run nothing but its own script.
"""

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

_ESCAPED = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}


def page_of(content: dict[str, Any]) -> str:
    """The whole page as HTML.

    Args:
        content: plain data without NaN and infinities.
    """
    style, script = _part("page.css"), _part("page.js")
    parts = {
        "policy": _policy(style, script),
        "style": style,
        "script": script,
        "content": escaped_json(content),
    }
    # All in one go: what was put in is not looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _part("page.html"))


def escaped_json(content: dict[str, Any]) -> str:
    r"""JSON that can stand in a script element: `<`, `>` and `&` only occur as `\u003c` etc.

    So does all that is not ASCII, among it U+2028 and what UTF-8 cannot hold.
    """
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPED)


def _policy(style: str, script: str) -> str:
    """Content security policy: this style and this script, images in the page, nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _part(name: str) -> str:
    return (files("actscope.reporting") / name).read_text(encoding="utf-8")
