"""Curations as versions: merged units, drafts, and the reviews that runs wait for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "merged_unit",
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("member_text", sa.String(), nullable=False),
        sa.Column("array_row", sa.Integer(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("processing_pk", sa.Integer(), nullable=False),
        sa.Column("publication_pk", sa.Integer(), nullable=True),
        sa.CheckConstraint("(publication_pk IS NULL) = (array_row IS NULL)", name=op.f("ck_merged_unit_published")),
        sa.ForeignKeyConstraint(
            ["processing_pk"], ["processing.id"], name=op.f("fk_merged_unit_processing_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["publication_pk"], ["publication.id"], name=op.f("fk_merged_unit_publication_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merged_unit")),
        sa.UniqueConstraint("member_text", "processing_pk", name=op.f("uq_merged_unit_member_text")),
        sa.UniqueConstraint("processing_pk", "unit_id", name=op.f("uq_merged_unit_processing_pk")),
    )
    op.create_table(
        "curation_draft",
        sa.Column("curator", sa.String(), nullable=False),
        sa.Column("edits", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("processing_pk", sa.Integer(), nullable=False),
        sa.Column("parent_curation_pk", sa.Integer(), nullable=True),
        sa.CheckConstraint("position >= 0", name=op.f("ck_curation_draft_position")),
        sa.ForeignKeyConstraint(
            ["parent_curation_pk"],
            ["curation.id"],
            name=op.f("fk_curation_draft_parent_curation_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["processing_pk"], ["processing.id"], name=op.f("fk_curation_draft_processing_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_curation_draft")),
        sa.UniqueConstraint("processing_pk", "curator", name=op.f("uq_curation_draft_processing_pk")),
    )
    op.create_table(
        "review",
        sa.Column("review_id", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "answered",
                "expired",
                name="review_state",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run", sa.String(), nullable=True),
        sa.Column("policy", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("processing_pk", sa.Integer(), nullable=False),
        sa.Column("parent_curation_pk", sa.Integer(), nullable=False),
        sa.Column("answer_curation_pk", sa.Integer(), nullable=True),
        sa.CheckConstraint("(state = 'answered') = (answer_curation_pk IS NOT NULL)", name=op.f("ck_review_answered")),
        sa.CheckConstraint("(state = 'waiting') = (closed_at IS NULL)", name=op.f("ck_review_closed")),
        sa.ForeignKeyConstraint(
            ["answer_curation_pk"], ["curation.id"], name=op.f("fk_review_answer_curation_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["parent_curation_pk"], ["curation.id"], name=op.f("fk_review_parent_curation_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["processing_pk"], ["processing.id"], name=op.f("fk_review_processing_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint("processing_pk", "review_id", name=op.f("uq_review_processing_pk")),
    )
    with op.batch_alter_table("curation_unit", schema=None) as batch_op:
        batch_op.add_column(sa.Column("merged_into", sa.Integer(), nullable=True))
        batch_op.create_check_constraint(
            batch_op.f("ck_curation_unit_merged_is_not_accepted"), "merged_into IS NULL OR NOT accepted"
        )


def downgrade() -> None:
    """Go back to the one before; its rows are lost."""
    with op.batch_alter_table("curation_unit", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_curation_unit_merged_is_not_accepted"), type_="check")
        batch_op.drop_column("merged_into")

    op.drop_table("review")
    op.drop_table("curation_draft")
    op.drop_table("merged_unit")
