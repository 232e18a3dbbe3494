"""Take out of kubectl's output what differs between two runs that are otherwise the same. Pure."""

import re

NAMESPACE = "team"
AGE = "…"
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "2026-03-01T10:00:00Z"),
    (re.compile(r"\bws[0-9a-f]{15}\b"), "ws0123456789abcde"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "(uid)"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "0123456789ab"),  # a revision of the pod
    (re.compile(r"\bmistral-[a-z0-9]{6,10}-[a-z0-9]{5}\b"), "mistral-5d4c8f7b9-x7k2p"),
    (re.compile(r"(?<= % of 13\.5 GiB), [^,\n]*? left"), f", {AGE} left"),
    (re.compile(r"(Resource Version: +)\d+"), r"\1(version)"),
    (re.compile(r"((?:Bytes Per Second|Seconds Left): +)[\d.]+"), rf"\1{AGE}"),
)
_SECONDS = re.compile(
    r"^( +(?:Node Launched|Node Registered|Gpu Visible|Image Pulled|Weights Loaded|First Token"
    r"|Total): +)[\d.]+$",
    re.MULTILINE,
)


def masked(text: str, namespace: str) -> str:
    """Replace names of one life, times and seconds."""
    text = text.replace(namespace, NAMESPACE)
    for pattern, instead in _MASKS:
        text = pattern.sub(instead, text)
    return "\n".join(line.rstrip() for line in _SECONDS.sub(rf"\1{AGE}", text).splitlines())


def table(text: str, namespace: str) -> str:
    """Mask each cell of a table of kubectl's, and set its columns anew."""
    lines = text.splitlines()
    starts = [match.start() for match in re.finditer(r"(?<!\S)\S", lines[0])]
    rows = [
        [
            masked(line[start:end].strip(), namespace)
            for start, end in zip(starts, [*starts[1:], None], strict=True)
        ]
        for line in lines
    ]
    if "AGE" in rows[0]:
        column = rows[0].index("AGE")
        for row in rows[1:]:
            row[column] = AGE
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
