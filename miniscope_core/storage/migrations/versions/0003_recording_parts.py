"""Recordings that were joined from others: which, and where each lies."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "recording_part",
        sa.Column("part_id", sa.Integer(), nullable=False),
        sa.Column("start_frame", sa.Integer(), nullable=False),
        sa.Column("nframes", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.Float(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_pk", sa.Integer(), nullable=False),
        sa.Column("joined_recording_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["joined_recording_pk"],
            ["recording.id"],
            name=op.f("fk_recording_part_joined_recording_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["recording_pk"], ["recording.id"], name=op.f("fk_recording_part_recording_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_part")),
        sa.UniqueConstraint("recording_pk", "part_id", name=op.f("uq_recording_part_recording_pk")),
    )


def downgrade() -> None:
    """Go back to the one before; its rows are lost."""
    op.drop_table("recording_part")
