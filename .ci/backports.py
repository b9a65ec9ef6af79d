"""Adds the backports of a Debian release to apt's sources, from the mirror that the release comes from.

Usage: backports.py CODENAME [MIRROR...]
The release may be named by several sources, some of them not Debian's: the one at a MIRROR is taken, and
the first only if none is. Its other fields, such as the key, hold for the backports too.
Prints the file that it wrote; nothing where the backports are there already. Exits with 1 if no
source names the release.
"""

import glob
import re
import sys

SOURCES = "/etc/apt/sources.list"
PARTS = "/etc/apt/sources.list.d"


def one_line_entries(text):
    """(options with brackets or "", URI, suite, components) of each active `deb` line."""
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)([^#]*)", line)
        if found:
            yield (found[1] or ""), found[2], found[3], found[4].split()


def stanzas(text):
    """The active `deb` stanzas of a deb822 file: field name in lower case -> its lines' text."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for block in re.split(r"\n[ \t]*\n", "\n".join(lines)):
        fields, name = {}, None
        for line in block.splitlines():
            if line[:1].isspace() and name:
                fields[name] += "\n" + line  # continuation, such as a key in place
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off")
        if enabled and "deb" in fields.get("types", "").split():
            yield fields


def main(codename, mirrors):
    wanted = f"{codename}-backports"
    mirrors = {mirror.rstrip("/") for mirror in mirrors}
    found = []  # (not at a mirror, file extension, text of the source to write)
    for path in [SOURCES, *sorted(glob.glob(f"{PARTS}/*"))]:
        if not path.endswith((".list", ".sources")):
            continue
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        if path.endswith(".list"):
            for options, uri, suite, components in one_line_entries(text):
                if suite == wanted and "main" in components:
                    return 0
                if suite == codename and "main" in components:
                    elsewhere = uri.rstrip("/") not in mirrors
                    found.append((elsewhere, "list", f"deb {options}{uri} {wanted} main\n"))
        else:
            for fields in stanzas(text):
                suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
                if wanted in suites and "main" in components:
                    return 0
                if codename in suites and "main" in components:
                    elsewhere = not any(uri.rstrip("/") in mirrors for uri in fields.get("uris", "").split())
                    fields = {**fields, "types": "deb", "suites": wanted, "components": "main"}
                    lines = (f"{name.capitalize()}: {value}\n" for name, value in fields.items())
                    found.append((elsewhere, "sources", "".join(lines)))
    if not found:
        return 1
    _, extension, text = min(found, key=lambda source: source[0])  # the first of equals
    path = f"{PARTS}/{wanted}.{extension}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
