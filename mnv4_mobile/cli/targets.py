"""`mnv4 targets`."""

from __future__ import annotations

from mnv4_mobile.cli.show import Json, print_json, print_table


def targets(as_json: Json = False) -> None:
    """Lists the installed targets; a broken one is a row, not a crash."""
    from mnv4_mobile.errors import MobileError
    from mnv4_mobile.target import load_target, require, target_names

    rows: list[dict[str, str]] = []
    for name in target_names():
        try:
            target = load_target(name)
            row = {
                "target": name,
                "artifact": target.suffix,
                "recipes": ", ".join(sorted(target.schemes)),
            }
        except MobileError as error:
            rows.append({"target": name, "artifact": "", "recipes": "", "state": str(error)})
            continue
        try:
            require(target)
            row["state"] = "ready"
        except MobileError as error:
            row["state"] = str(error)
        rows.append(row)
    if as_json:
        print_json(rows)
        return
    columns = ["target", "artifact", "recipes", "state"]
    print_table(columns, [[row[column] for column in columns] for row in rows])
