"""Signals that were recorded on the clock of a recording: pose, triggers, channels of an acquisition box."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "recording_signal",
        sa.Column("signal_id", sa.Integer(), nullable=False),
        sa.Column("signal_name", sa.String(), nullable=False),
        sa.Column("channels", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("units", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("nsamples", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.Float(), nullable=True),
        sa.Column("stop_s", sa.Float(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("clock_rule", sa.String(), nullable=False),
        sa.Column("uncertainty_s", sa.Float(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_pk", sa.Integer(), nullable=False),
        sa.Column("samples_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_pk"], ["recording.id"], name=op.f("fk_recording_signal_recording_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["samples_pk"], ["stored_array.id"], name=op.f("fk_recording_signal_samples_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_signal")),
        sa.UniqueConstraint("recording_pk", "signal_id", name=op.f("uq_recording_signal_recording_pk")),
    )


def downgrade() -> None:
    """Go back to the one before; its rows are lost, and their arrays stay in the store."""
    op.drop_table("recording_signal")
