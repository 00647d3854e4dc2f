"""Runs are checked against their workflow at once; batches are found by their external id in whatever workflow."""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# A workflow's own keys lead to its connection and its workspace, so one look at it says all that three did, and more:
# that the three belong together. The index comes first: while it is built only batches are not written. NOT VALID: that
# the three keys go takes a lock under which nobody even reads runs, so none is read through here; 0026 does that.
UP = """
CREATE INDEX batches_external_ids ON batches (workspace_id, external_id, id) WHERE external_id IS NOT NULL;
ALTER TABLE workflows ADD CONSTRAINT workflows_whose UNIQUE (id, connection_id, workspace_id);
ALTER TABLE runs
    DROP CONSTRAINT runs_workspace_id_fkey,
    DROP CONSTRAINT runs_connection_id_fkey,
    DROP CONSTRAINT runs_workflow_id_fkey,
    ADD CONSTRAINT runs_workflow FOREIGN KEY (workflow_id, connection_id, workspace_id)
        REFERENCES workflows (id, connection_id, workspace_id) NOT VALID;
"""

DOWN = """
DROP INDEX batches_external_ids;
ALTER TABLE runs
    DROP CONSTRAINT runs_workflow,
    ADD CONSTRAINT runs_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces,
    ADD CONSTRAINT runs_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES connections,
    ADD CONSTRAINT runs_workflow_id_fkey FOREIGN KEY (workflow_id) REFERENCES workflows;
ALTER TABLE workflows DROP CONSTRAINT workflows_whose;
"""


def upgrade() -> None:
    """Change the keys, add the index."""
    _do(UP)


def downgrade() -> None:
    """Change them back."""
    _do(DOWN)


def _do(statements: str) -> None:
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    driver.execute(statements)
