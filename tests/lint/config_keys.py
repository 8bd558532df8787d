#!/usr/bin/env python3
"""The table of configuration keys is the truth; the tables in the documents follow it.

    config_keys.py SSMCTL CONFIGURATION_MD SSMD_JSON_5

Compares the text between the marks in both files with what `SSMCTL --json config keys` gives, and exits 1
when it differs.

    config_keys.py --write SSMCTL CONFIGURATION_MD SSMD_JSON_5

puts it there."""

import json
import subprocess
import sys
import textwrap

BEGIN_MD, END_MD = "<!-- keys: scripts/config-keys writes this -->\n", "<!-- end of keys -->\n"
BEGIN_MAN, END_MAN = '.\\" keys: scripts/config-keys writes this\n', '.\\" end of keys\n'
USES = (("used", "Keys of the reference agent that are followed"),
        ("unused", "Keys of the reference agent that change nothing here"),
        ("never-read", "Keys that nothing reads, in the reference agent either"))


def default_of(key):
    name, value = key["key"], key["default"]
    if name == "Agent.Version":
        return "that of ssmd"
    if name == "Ssmd.RunnerPath":
        return "beside ssmd"
    if key["type"] == "a list of objects" or value in ("", []):
        return ""
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def bounds_of(key):
    if "choices" in key:
        return key["choices"].replace(",", ", ")
    if key["max"] is None:
        return "" if key["min"] is None else f"at least {key['min']}"
    return f"{key['min']} to {key['max']}"


def groups(keys):
    ours = [k for k in keys if k["is_ours"]]
    for use, title in USES:
        yield title, [k for k in keys if k["use"] == use and not k["is_ours"]]
    yield "Keys of ssmd", ours


def markdown(keys):
    out = ""
    for title, group in groups(keys):
        is_followed = group[0]["use"] == "used"
        out += f"\n### {title}\n\n"
        out += "| key | default | bounds | reload | effect |\n|---|---|---|---|---|\n" if is_followed else \
               "| key | default | why |\n|---|---|---|\n"
        for k in group:
            default = default_of(k)
            default = f"`{default}`" if default and default not in ("beside ssmd", "that of ssmd") else default
            cells = [f"`{k['key']}`", default]
            if is_followed:
                cells += [bounds_of(k), "yes" if k["reload"] else ""]
            out += "| " + " | ".join(cells + [k["note"].replace("|", "\\|").replace("<", "\\<")]) + " |\n"
    return out + "\n"


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    lines = textwrap.wrap(text, 96, break_on_hyphens=False, break_long_words=False)
    return "\n".join("\\&" + line if line[:1] in ".'" else line for line in lines)


def manual(keys):
    out = ""
    for title, group in groups(keys):
        out += f".Ss {title}\n.Bl -tag -width Ds\n"
        for k in group:
            parts = [k["type"]] if not bounds_of(k) else [bounds_of(k)]
            if default_of(k):
                parts.append("default " + default_of(k))
            if k["reload"]:
                parts.append("reload")
            out += f".It Cm {k['key']} Pq {roff('; '.join(parts)).replace(chr(10), ' ')}\n{roff(k['note'][:1].upper() + k['note'][1:])}.\n"
        out += ".El\n"
    return out


def main(arguments):
    write = arguments[:1] == ["--write"]
    ssmctl, md, man = arguments[write:]
    keys = json.loads(subprocess.run([ssmctl, "--json", "config", "keys"], check=True, capture_output=True,
                                     text=True).stdout)["keys"]
    status = 0
    for path, begin, end, wanted in ((md, BEGIN_MD, END_MD, markdown(keys)), (man, BEGIN_MAN, END_MAN, manual(keys))):
        with open(path, encoding="utf-8") as f:
            before, rest = f.read().split(begin, 1)
        found, after = rest.split(end, 1)
        if found == wanted:
            continue
        if write:
            with open(path, "w", encoding="utf-8") as f:
                f.write(before + begin + wanted + end + after)
            continue
        status = 1
        for line in set(wanted.splitlines()) - set(found.splitlines()):
            print(f"{path}: missing: {line}")
        for line in set(found.splitlines()) - set(wanted.splitlines()):
            print(f"{path}: of no key any more: {line}")
        print(f"{path}: run scripts/config-keys")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
