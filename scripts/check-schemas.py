#!/usr/bin/python3
"""Holds files of JSON lines against a JSON Schema (2020-12), line by line.

    scripts/check-schemas.py SCHEMA.json FILE.jsonl...   every line of the files
    scripts/check-schemas.py --refuse SCHEMA.json FILE   every line must be refused
    scripts/check-schemas.py --examples [SCHEMA.json...] every schema against the metaschema and its
                                                         examples against itself (default: schemas/)

A list of twenty items takes some 8 ms to check: on long files use --every N.
A line {"key":…,"deleted":true} is a null and is allowed in every file. Exit status 0: all hold;
1: some do not (the first are printed); 2: wrong use. Needs Debian's python3-jsonschema.
"""
import argparse
import json
import pathlib
import sys

try:
    from jsonschema import Draft202012Validator
except ImportError:
    sys.exit("check-schemas: needs python3-jsonschema (apt-get install python3-jsonschema)")

MOST_ERRORS = 10


def load(path):
    schema = json.loads(pathlib.Path(path).read_text())
    Draft202012Validator.check_schema(schema)
    return schema


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def distinct(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is given twice: " + ", ".join(k for k, _ in pairs))
    return members


def is_deletion(value):
    return (isinstance(value, dict) and value.keys() == {"key", "deleted"}
            and isinstance(value["key"], str) and value["deleted"] is True)


def describe(error):
    place = "/".join(str(p) for p in error.absolute_path) or "(the whole)"
    return f"{place}: {error.message[:300]}"


def check_lines(schema, files, every=1):
    validator = Draft202012Validator(schema)
    errors = lines = deletions = 0
    for path in files:
        with open(path, encoding="utf-8", errors="strict") as file:
            for number, line in enumerate(file, 1):
                if (number - 1) % every:
                    continue
                lines += 1
                try:
                    value = json.loads(line, parse_constant=refuse_constant, object_pairs_hook=distinct)
                except ValueError as error:
                    found = [f"not JSON: {error}"]
                else:
                    if is_deletion(value):
                        deletions += 1
                        continue
                    if validator.is_valid(value):
                        continue
                    found = [describe(e) for e in validator.iter_errors(value)][:3]
                errors += 1
                if errors <= MOST_ERRORS:
                    for text in found:
                        print(f"{path}:{number}: {text}", file=sys.stderr)
    print(f"{schema.get('title', '?')}: {lines} lines, {deletions} of them nulls, {errors} with errors")
    return errors


def check_refusals(schema, files):
    """How many lines the schema accepts."""
    validator = Draft202012Validator(schema)
    accepted = lines = 0
    for path in files:
        with open(path, encoding="utf-8", errors="strict") as file:
            for number, line in enumerate(file, 1):
                lines += 1
                if validator.is_valid(json.loads(line)):
                    accepted += 1
                    if accepted <= MOST_ERRORS:
                        print(f"{path}:{number}: accepted: {line[:300].rstrip()}", file=sys.stderr)
    print(f"{schema.get('title', '?')}: {lines} lines, {accepted} of them accepted")
    return accepted


def check_examples(paths):
    errors = 0
    for path in paths:
        try:
            schema = load(path)
        except Exception as error:  # the metaschema's complaint, or no JSON
            print(f"{path}: {error}", file=sys.stderr)
            errors += 1
            continue
        validator = Draft202012Validator(schema)
        examples = schema.get("examples", [])
        if not examples:
            print(f"{path}: no examples", file=sys.stderr)
            errors += 1
        for number, example in enumerate(examples):
            for error in validator.iter_errors(example):
                print(f"{path}: examples[{number}]: {describe(error)}", file=sys.stderr)
                errors += 1
        print(f"{path}: {len(examples)} examples")
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", action="store_true", help="check schemas and their own examples")
    parser.add_argument("--refuse", action="store_true", help="every line must be refused")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="check each N-th line only")
    parser.add_argument("files", nargs="*", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.examples:
        folder = pathlib.Path(__file__).resolve().parent.parent / "schemas"
        return 1 if check_examples(arguments.files or sorted(folder.glob("*.schema.json"))) else 0
    if len(arguments.files) < 2:
        parser.error("a schema and at least one file of JSON lines")
    schema, files = load(arguments.files[0]), arguments.files[1:]
    if arguments.refuse:
        return 1 if check_refusals(schema, files) else 0
    return 1 if check_lines(schema, files, max(1, arguments.every)) else 0


if __name__ == "__main__":
    sys.exit(main())
