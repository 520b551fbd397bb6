"""Parses an HTML page and checks its tags."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br"}


class ParsedPage(HTMLParser):
    """Asserts that tags balance; collects identifiers, links and loaded resources."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.loaded = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        (self.links if tag == "a" else self.loaded).extend(
            values[key] for key in ("src", "href", "xlink:href", "srcset") if key in values
        )

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
