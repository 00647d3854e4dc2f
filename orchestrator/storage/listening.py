"""Whether any webhook of a workspace is told of anything: a part of other statements, so that it costs none."""

from __future__ import annotations

#: Of a webhook `h`: messages are written for it, and delivered.
ACTIVE = "h.disabled_at IS NULL AND h.removed_at IS NULL"

#: Of a row with a workspace, by its alias: one look into a small index, which is empty where nobody listens.
LISTENS = f"EXISTS (SELECT FROM webhooks h WHERE h.workspace_id = {{0}}.workspace_id AND {ACTIVE})"
