"""The page of the reconciliation policy, from its rows."""
# ruff: noqa: E501  (a paragraph of the page is one line)

from openldn.integration.reconcile.policy import DEFAULT, LISTS


def text() -> str:
    """The page."""
    rows = "\n".join(
        f"| {r.id} | {r.step} | {r.how} | "
        f"{', '.join(f'{k}: {v}' for k, v in r.options.items())} | {r.source} |"
        for r in DEFAULT.rules
    )
    lists = "\n".join(f"| {n} | {len(v)} |" for n, v in LISTS.items())
    return f"""# The reconciliation policy

The rules by which statements of several sources become one set, and the files that change them or lend them tables.

## The files

`--policy` is JSON. What is not named stays as it is; a name that is not there is refused.

```json
{{
  "version": "2026-1",
  "rules": {{"Z-ENC.possible": false, "Z-PRB.possible": {{"days": 30}}}},
  "lists": {{"placeholders": ["unknown", "nvt"]}},
  "situations": {{"acute": {{"Z-LAB": 365, "Z-VIT": 90}}}}
}}
```

`--conceptmap` is a FHIR ConceptMap, or a Bundle of them. `equivalent` and `equal` make two codes one; `wider`, `subsumes`, `narrower` and `specializes` make parent and child. The contents of SNOMED, G-Standaard, DHD and LOINC are the operator's.

`--unit-factors` is a JSON list or CSV of rows with `code` (LOINC, or `system` as well), `from`, `to` (UCUM) and `factor`: an amount in `from` times `factor` is the amount in `to`. Units of one kind need no row.

`--situation` leaves out what is older than so many days, by kind; how much that was is told. Allergies, directives and whatever takes part in a conflict stay.

## The rules

| rule | step | how | options | source |
|---|---|---|---|---|
{rows}

## The lists

| list | entries |
|---|---|
{lists}
"""
