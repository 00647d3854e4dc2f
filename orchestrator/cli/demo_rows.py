"""The demo's file: customers to score, and in the column `sandbox` how the stand-in shall treat each of them."""

from __future__ import annotations

import csv
import io

#: A workflow that the stand-in has built in; it takes these columns and no others.
WORKFLOW = "Score customer"
COLUMNS = ("customer_id", "email", "amount", "priority", "active", "note", "sandbox")

#: Where in the file the one stands that waits for a person, and the ones that fail, as shares of its length.
HUMAN_AT = 0.28
ERRORS_AT = (0.44, 0.72)
SHORTEST_S = 1.5
STEPS_S = (0.0, 0.9, 0.3, 1.2, 0.6, 1.5)


def customers_csv(items: int) -> bytes:
    """Return the file."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index in range(items):
        number = index + 1
        writer.writerow(
            [
                f"C-{number:04d}",
                f"customer{number}@example.com",
                f"{17.5 * number:.2f}",
                number % 3 + 1,
                "true" if number % 4 else "false",
                f"Order {number}, Café Zoë",
                _hint(index, items),
            ]
        )
    return table.getvalue().encode()


def _hint(index: int, items: int) -> str:
    duration_s = SHORTEST_S + STEPS_S[index % len(STEPS_S)]
    outcome = "finished"
    if index == int(HUMAN_AT * items):
        outcome = "human_in_the_loop"
    elif index in [int(share * items) for share in ERRORS_AT]:
        outcome = "error"
    return f"outcome={outcome}; duration_s={duration_s:.1f}"
