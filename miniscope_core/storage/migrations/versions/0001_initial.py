"""Every entity of the data model."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "acquisition_software",
        sa.Column("acquisition_software", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acquisition_software")),
        sa.UniqueConstraint("acquisition_software", name=op.f("uq_acquisition_software_acquisition_software")),
    )
    op.create_table(
        "activity_extraction_method",
        sa.Column("extraction_method", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity_extraction_method")),
        sa.UniqueConstraint("extraction_method", name=op.f("uq_activity_extraction_method_extraction_method")),
    )
    op.create_table(
        "anatomical_location",
        sa.Column("recording_location_id", sa.Integer(), nullable=False),
        sa.Column("anatomical_description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_anatomical_location")),
        sa.UniqueConstraint("recording_location_id", name=op.f("uq_anatomical_location_recording_location_id")),
    )
    op.create_table(
        "channel",
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel")),
        sa.UniqueConstraint("channel", name=op.f("uq_channel_channel")),
    )
    identity = op.create_table(
        "database_identity",
        sa.Column("database_id", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_database_identity_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_database_identity")),
        sa.UniqueConstraint("database_id", name=op.f("uq_database_identity_database_id")),
    )
    op.bulk_insert(identity, [{"id": 1, "database_id": str(uuid.uuid4())}])
    op.create_table(
        "device",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("device", name=op.f("uq_device_device")),
    )
    op.create_table(
        "lab",
        sa.Column("lab", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lab")),
        sa.UniqueConstraint("lab", name=op.f("uq_lab_lab")),
    )
    op.create_table(
        "line",
        sa.Column("line", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_line")),
        sa.UniqueConstraint("line", name=op.f("uq_line_line")),
    )
    op.create_table(
        "mask_classification_method",
        sa.Column("mask_classification_method", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mask_classification_method")),
        sa.UniqueConstraint(
            "mask_classification_method", name=op.f("uq_mask_classification_method_mask_classification_method")
        ),
    )
    op.create_table(
        "mask_type",
        sa.Column("mask_type", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mask_type")),
        sa.UniqueConstraint("mask_type", name=op.f("uq_mask_type_mask_type")),
    )
    op.create_table(
        "processing_method",
        sa.Column("processing_method", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processing_method")),
        sa.UniqueConstraint("processing_method", name=op.f("uq_processing_method_processing_method")),
    )
    op.create_table(
        "project",
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("project", name=op.f("uq_project_project")),
    )
    op.create_table(
        "protocol",
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_protocol")),
        sa.UniqueConstraint("protocol", name=op.f("uq_protocol_protocol")),
    )
    op.create_table(
        "publication",
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("object_count", sa.Integer(), nullable=False),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("manifest_sha256", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publication")),
        sa.UniqueConstraint("prefix", name=op.f("uq_publication_prefix")),
    )
    op.create_table(
        "source",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("source", name=op.f("uq_source_source")),
    )
    op.create_table(
        "species",
        sa.Column("species", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_species")),
        sa.UniqueConstraint("species", name=op.f("uq_species_species")),
    )
    op.create_table(
        "strain",
        sa.Column("strain", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strain")),
        sa.UniqueConstraint("strain", name=op.f("uq_strain_strain")),
    )
    op.create_table(
        "location",
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("lab_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["lab_pk"], ["lab.id"], name=op.f("fk_location_lab_pk"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_location")),
        sa.UniqueConstraint("location", name=op.f("uq_location_location")),
    )
    op.create_table(
        "processing_param_set",
        sa.Column("paramset_id", sa.Integer(), nullable=False),
        sa.Column("paramset_desc", sa.String(), nullable=False),
        sa.Column("param_set_hash", sa.Uuid(), nullable=False),
        sa.Column("params", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("processing_method_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["processing_method_pk"],
            ["processing_method.id"],
            name=op.f("fk_processing_param_set_processing_method_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processing_param_set")),
        sa.UniqueConstraint("paramset_id", name=op.f("uq_processing_param_set_paramset_id")),
        sa.UniqueConstraint(
            "processing_method_pk", "param_set_hash", name=op.f("uq_processing_param_set_processing_method_pk")
        ),
    )
    op.create_table(
        "stored_array",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column(
            "layout",
            sa.Enum("dense", "csr", name="array_layout", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("shape", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("axes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("publication_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["publication_pk"], ["publication.id"], name=op.f("fk_stored_array_publication_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stored_array")),
        sa.UniqueConstraint("publication_pk", "name", name=op.f("uq_stored_array_publication_pk")),
    )
    op.create_table(
        "subject",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("nickname", sa.String(), nullable=False),
        sa.Column(
            "sex",
            sa.Enum("M", "F", "U", name="sex", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("subject_birth_date", sa.Date(), nullable=True),
        sa.Column("subject_description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_pk", sa.Integer(), nullable=True),
        sa.Column("line_pk", sa.Integer(), nullable=True),
        sa.Column("strain_pk", sa.Integer(), nullable=True),
        sa.Column("species_pk", sa.Integer(), nullable=True),
        sa.Column("protocol_pk", sa.Integer(), nullable=True),
        sa.Column("lab_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["lab_pk"], ["lab.id"], name=op.f("fk_subject_lab_pk"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["line_pk"], ["line.id"], name=op.f("fk_subject_line_pk"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["protocol_pk"], ["protocol.id"], name=op.f("fk_subject_protocol_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["source_pk"], ["source.id"], name=op.f("fk_subject_source_pk"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["species_pk"], ["species.id"], name=op.f("fk_subject_species_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["strain_pk"], ["strain.id"], name=op.f("fk_subject_strain_pk"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subject")),
        sa.UniqueConstraint("subject", name=op.f("uq_subject_subject")),
    )
    op.create_table(
        "user",
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("lab_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["lab_pk"], ["lab.id"], name=op.f("fk_user_lab_pk"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("user", name=op.f("uq_user_user")),
    )
    op.create_table(
        "session",
        sa.Column("session_datetime", sa.DateTime(), nullable=False),
        sa.Column("session_note", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject_pk", sa.Integer(), nullable=False),
        sa.Column("project_pk", sa.Integer(), nullable=True),
        sa.Column("location_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["location_pk"], ["location.id"], name=op.f("fk_session_location_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["project_pk"], ["project.id"], name=op.f("fk_session_project_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["subject_pk"], ["subject.id"], name=op.f("fk_session_subject_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("subject_pk", "session_datetime", name=op.f("uq_session_subject_pk")),
    )
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_project_pk"), ["project_pk"], unique=False)

    op.create_table(
        "recording",
        sa.Column("recording_id", sa.Integer(), nullable=False),
        sa.Column("recording_directory", sa.String(), nullable=False),
        sa.Column("recording_notes", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_pk", sa.Integer(), nullable=False),
        sa.Column("device_pk", sa.Integer(), nullable=False),
        sa.Column("acquisition_software_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["acquisition_software_pk"],
            ["acquisition_software.id"],
            name=op.f("fk_recording_acquisition_software_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(["device_pk"], ["device.id"], name=op.f("fk_recording_device_pk"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["session_pk"], ["session.id"], name=op.f("fk_recording_session_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording")),
        sa.UniqueConstraint("session_pk", "recording_id", name=op.f("uq_recording_session_pk")),
    )
    op.create_table(
        "session_directory",
        sa.Column("session_dir", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_pk"], ["session.id"], name=op.f("fk_session_directory_session_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_directory")),
        sa.UniqueConstraint("session_pk", name=op.f("uq_session_directory_session_pk")),
    )
    op.create_table(
        "session_experimenter",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_pk", sa.Integer(), nullable=False),
        sa.Column("user_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_pk"], ["session.id"], name=op.f("fk_session_experimenter_session_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["user_pk"], ["user.id"], name=op.f("fk_session_experimenter_user_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_experimenter")),
        sa.UniqueConstraint("session_pk", "user_pk", name=op.f("uq_session_experimenter_session_pk")),
    )
    with op.batch_alter_table("session_experimenter", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_experimenter_user_pk"), ["user_pk"], unique=False)

    op.create_table(
        "head_orientation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_pk", sa.Integer(), nullable=False),
        sa.Column("samples_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_pk"], ["recording.id"], name=op.f("fk_head_orientation_recording_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["samples_pk"], ["stored_array.id"], name=op.f("fk_head_orientation_samples_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_head_orientation")),
        sa.UniqueConstraint("recording_pk", name=op.f("uq_head_orientation_recording_pk")),
    )
    op.create_table(
        "note",
        sa.Column("note_id", sa.Integer(), nullable=False),
        sa.Column("time_s", sa.Float(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_pk"], ["recording.id"], name=op.f("fk_note_recording_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note")),
        sa.UniqueConstraint("recording_pk", "note_id", name=op.f("uq_note_recording_pk")),
    )
    op.create_table(
        "recording_config",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_pk"], ["recording.id"], name=op.f("fk_recording_config_recording_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_config")),
        sa.UniqueConstraint("recording_pk", "name", name=op.f("uq_recording_config_recording_pk")),
    )
    op.create_table(
        "recording_info",
        sa.Column("nchannels", sa.Integer(), nullable=False),
        sa.Column("nframes", sa.Integer(), nullable=False),
        sa.Column("ndepths", sa.Integer(), nullable=False),
        sa.Column("px_height", sa.Integer(), nullable=False),
        sa.Column("px_width", sa.Integer(), nullable=False),
        sa.Column("um_height", sa.Float(), nullable=True),
        sa.Column("um_width", sa.Float(), nullable=True),
        sa.Column("fps", sa.Float(), nullable=False),
        sa.Column("gain", sa.Float(), nullable=True),
        sa.Column("spatial_downsample", sa.Integer(), nullable=False),
        sa.Column("led_power", sa.Float(), nullable=True),
        sa.Column("recording_datetime", sa.DateTime(), nullable=True),
        sa.Column("recording_duration", sa.Float(), nullable=False),
        sa.Column("dropped_frames", sa.Integer(), nullable=False),
        sa.Column("clock_report", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("content_digest", sa.String(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_pk"], ["recording.id"], name=op.f("fk_recording_info_recording_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_info")),
        sa.UniqueConstraint("recording_pk", name=op.f("uq_recording_info_recording_pk")),
    )
    with op.batch_alter_table("recording_info", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recording_info_content_digest"), ["content_digest"], unique=False)

    op.create_table(
        "recording_location",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_pk", sa.Integer(), nullable=False),
        sa.Column("anatomical_location_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["anatomical_location_pk"],
            ["anatomical_location.id"],
            name=op.f("fk_recording_location_anatomical_location_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["recording_pk"], ["recording.id"], name=op.f("fk_recording_location_recording_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_location")),
        sa.UniqueConstraint("recording_pk", name=op.f("uq_recording_location_recording_pk")),
    )
    op.create_table(
        "recording_timestamps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_pk", sa.Integer(), nullable=False),
        sa.Column("timestamps_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_pk"], ["recording.id"], name=op.f("fk_recording_timestamps_recording_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["timestamps_pk"],
            ["stored_array.id"],
            name=op.f("fk_recording_timestamps_timestamps_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_timestamps")),
        sa.UniqueConstraint("recording_pk", name=op.f("uq_recording_timestamps_recording_pk")),
    )
    op.create_table(
        "processing_task",
        sa.Column("processing_output_dir", sa.String(), nullable=False),
        sa.Column(
            "task_mode",
            sa.Enum("load", "trigger", name="task_mode", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("claimed_by", sa.String(), nullable=True),
        sa.Column("claim_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_info_pk", sa.Integer(), nullable=False),
        sa.Column("paramset_pk", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(claimed_by IS NULL) = (claim_expires_at IS NULL)", name=op.f("ck_processing_task_claim_expires")
        ),
        sa.ForeignKeyConstraint(
            ["paramset_pk"],
            ["processing_param_set.id"],
            name=op.f("fk_processing_task_paramset_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["recording_info_pk"],
            ["recording_info.id"],
            name=op.f("fk_processing_task_recording_info_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processing_task")),
        sa.UniqueConstraint("recording_info_pk", "paramset_pk", name=op.f("uq_processing_task_recording_info_pk")),
    )
    with op.batch_alter_table("processing_task", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_processing_task_paramset_pk"), ["paramset_pk"], unique=False)

    op.create_table(
        "recording_file",
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("file_path", sa.String(), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "video",
                "clock",
                "metadata",
                "other",
                name="file_role",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("nframes", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recording_info_pk", sa.Integer(), nullable=False),
        sa.CheckConstraint("role != 'video' OR nframes IS NOT NULL", name=op.f("ck_recording_file_video_has_frames")),
        sa.ForeignKeyConstraint(
            ["recording_info_pk"],
            ["recording_info.id"],
            name=op.f("fk_recording_file_recording_info_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording_file")),
        sa.UniqueConstraint("recording_info_pk", "file_id", name=op.f("uq_recording_file_recording_info_pk")),
    )
    op.create_table(
        "processing",
        sa.Column("processing_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("package_version", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("timings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("cpu_seconds", sa.Float(), nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("unit_count", sa.Integer(), nullable=False),
        sa.Column("accepted_count", sa.Integer(), nullable=False),
        sa.Column("provenance", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("notes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_pk", sa.Integer(), nullable=False),
        sa.Column("publication_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["publication_pk"], ["publication.id"], name=op.f("fk_processing_publication_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["task_pk"], ["processing_task.id"], name=op.f("fk_processing_task_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processing")),
        sa.UniqueConstraint("task_pk", name=op.f("uq_processing_task_pk")),
    )
    with op.batch_alter_table("processing", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_processing_publication_pk"), ["publication_pk"], unique=False)

    op.create_table(
        "curation",
        sa.Column("curation_id", sa.Integer(), nullable=False),
        sa.Column("curation_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("curation_output_dir", sa.String(), nullable=False),
        sa.Column("manual_curation", sa.Boolean(), nullable=False),
        sa.Column("curation_note", sa.String(), nullable=False),
        sa.Column("curator", sa.String(), nullable=False),
        sa.Column("policy", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("processing_pk", sa.Integer(), nullable=False),
        sa.Column("parent_curation_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["parent_curation_pk"], ["curation.id"], name=op.f("fk_curation_parent_curation_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["processing_pk"], ["processing.id"], name=op.f("fk_curation_processing_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_curation")),
        sa.UniqueConstraint("processing_pk", "curation_id", name=op.f("uq_curation_processing_pk")),
    )
    op.create_table(
        "activity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("curation_pk", sa.Integer(), nullable=False),
        sa.Column("activity_extraction_method_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["activity_extraction_method_pk"],
            ["activity_extraction_method.id"],
            name=op.f("fk_activity_activity_extraction_method_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["curation_pk"], ["curation.id"], name=op.f("fk_activity_curation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity")),
        sa.UniqueConstraint("curation_pk", "activity_extraction_method_pk", name=op.f("uq_activity_curation_pk")),
    )
    op.create_table(
        "curation_unit",
        sa.Column("unit_id", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("curation_pk", sa.Integer(), nullable=False),
        sa.Column("mask_type_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["curation_pk"], ["curation.id"], name=op.f("fk_curation_unit_curation_pk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["mask_type_pk"], ["mask_type.id"], name=op.f("fk_curation_unit_mask_type_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_curation_unit")),
        sa.UniqueConstraint("curation_pk", "unit_id", name=op.f("uq_curation_unit_curation_pk")),
    )
    op.create_table(
        "fluorescence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("curation_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["curation_pk"], ["curation.id"], name=op.f("fk_fluorescence_curation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fluorescence")),
        sa.UniqueConstraint("curation_pk", name=op.f("uq_fluorescence_curation_pk")),
    )
    op.create_table(
        "motion_correction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("curation_pk", sa.Integer(), nullable=False),
        sa.Column("motion_correct_channel_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["curation_pk"], ["curation.id"], name=op.f("fk_motion_correction_curation_pk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["motion_correct_channel_pk"],
            ["channel.id"],
            name=op.f("fk_motion_correction_motion_correct_channel_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_motion_correction")),
        sa.UniqueConstraint("curation_pk", name=op.f("uq_motion_correction_curation_pk")),
    )
    op.create_table(
        "segmentation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("curation_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["curation_pk"], ["curation.id"], name=op.f("fk_segmentation_curation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segmentation")),
        sa.UniqueConstraint("curation_pk", name=op.f("uq_segmentation_curation_pk")),
    )
    op.create_table(
        "mask",
        sa.Column("mask_id", sa.Integer(), nullable=False),
        sa.Column("mask_npix", sa.Integer(), nullable=False),
        sa.Column("mask_center_y", sa.Float(), nullable=True),
        sa.Column("mask_center_x", sa.Float(), nullable=True),
        sa.Column("mask_center_z", sa.Float(), nullable=True),
        sa.Column("array_row", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("segmentation_pk", sa.Integer(), nullable=False),
        sa.Column("segmentation_channel_pk", sa.Integer(), nullable=False),
        sa.Column("array_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["array_pk"], ["stored_array.id"], name=op.f("fk_mask_array_pk"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["segmentation_channel_pk"],
            ["channel.id"],
            name=op.f("fk_mask_segmentation_channel_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["segmentation_pk"], ["segmentation.id"], name=op.f("fk_mask_segmentation_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mask")),
        sa.UniqueConstraint("segmentation_pk", "mask_id", name=op.f("uq_mask_segmentation_pk")),
    )
    op.create_table(
        "mask_classification",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("segmentation_pk", sa.Integer(), nullable=False),
        sa.Column("mask_classification_method_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mask_classification_method_pk"],
            ["mask_classification_method.id"],
            name=op.f("fk_mask_classification_mask_classification_method_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["segmentation_pk"],
            ["segmentation.id"],
            name=op.f("fk_mask_classification_segmentation_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mask_classification")),
        sa.UniqueConstraint(
            "segmentation_pk", "mask_classification_method_pk", name=op.f("uq_mask_classification_segmentation_pk")
        ),
    )
    op.create_table(
        "motion_correction_summary",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("motion_correction_pk", sa.Integer(), nullable=False),
        sa.Column("ref_image_pk", sa.Integer(), nullable=False),
        sa.Column("average_image_pk", sa.Integer(), nullable=False),
        sa.Column("correlation_image_pk", sa.Integer(), nullable=True),
        sa.Column("max_proj_image_pk", sa.Integer(), nullable=True),
        sa.Column("pnr_image_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["average_image_pk"],
            ["stored_array.id"],
            name=op.f("fk_motion_correction_summary_average_image_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["correlation_image_pk"],
            ["stored_array.id"],
            name=op.f("fk_motion_correction_summary_correlation_image_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["max_proj_image_pk"],
            ["stored_array.id"],
            name=op.f("fk_motion_correction_summary_max_proj_image_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["motion_correction_pk"],
            ["motion_correction.id"],
            name=op.f("fk_motion_correction_summary_motion_correction_pk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["pnr_image_pk"],
            ["stored_array.id"],
            name=op.f("fk_motion_correction_summary_pnr_image_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["ref_image_pk"],
            ["stored_array.id"],
            name=op.f("fk_motion_correction_summary_ref_image_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_motion_correction_summary")),
        sa.UniqueConstraint("motion_correction_pk", name=op.f("uq_motion_correction_summary_motion_correction_pk")),
    )
    op.create_table(
        "non_rigid_motion_correction",
        sa.Column("block_height", sa.Integer(), nullable=False),
        sa.Column("block_width", sa.Integer(), nullable=False),
        sa.Column("block_count_y", sa.Integer(), nullable=False),
        sa.Column("block_count_x", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("motion_correction_pk", sa.Integer(), nullable=False),
        sa.Column("outlier_frames_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["motion_correction_pk"],
            ["motion_correction.id"],
            name=op.f("fk_non_rigid_motion_correction_motion_correction_pk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["outlier_frames_pk"],
            ["stored_array.id"],
            name=op.f("fk_non_rigid_motion_correction_outlier_frames_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_non_rigid_motion_correction")),
        sa.UniqueConstraint("motion_correction_pk", name=op.f("uq_non_rigid_motion_correction_motion_correction_pk")),
    )
    op.create_table(
        "rigid_motion_correction",
        sa.Column("y_std", sa.Float(), nullable=True),
        sa.Column("x_std", sa.Float(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("motion_correction_pk", sa.Integer(), nullable=False),
        sa.Column("shifts_pk", sa.Integer(), nullable=False),
        sa.Column("outlier_frames_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["motion_correction_pk"],
            ["motion_correction.id"],
            name=op.f("fk_rigid_motion_correction_motion_correction_pk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["outlier_frames_pk"],
            ["stored_array.id"],
            name=op.f("fk_rigid_motion_correction_outlier_frames_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["shifts_pk"], ["stored_array.id"], name=op.f("fk_rigid_motion_correction_shifts_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rigid_motion_correction")),
        sa.UniqueConstraint("motion_correction_pk", name=op.f("uq_rigid_motion_correction_motion_correction_pk")),
    )
    op.create_table(
        "block",
        sa.Column("block_id", sa.Integer(), nullable=False),
        sa.Column("block_y_start", sa.Integer(), nullable=False),
        sa.Column("block_y_stop", sa.Integer(), nullable=False),
        sa.Column("block_x_start", sa.Integer(), nullable=False),
        sa.Column("block_x_stop", sa.Integer(), nullable=False),
        sa.Column("array_index", sa.Integer(), nullable=False),
        sa.Column("y_std", sa.Float(), nullable=True),
        sa.Column("x_std", sa.Float(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("non_rigid_motion_correction_pk", sa.Integer(), nullable=False),
        sa.Column("shifts_pk", sa.Integer(), nullable=False),
        sa.CheckConstraint("block_x_start < block_x_stop", name=op.f("ck_block_range_x")),
        sa.CheckConstraint("block_y_start < block_y_stop", name=op.f("ck_block_range_y")),
        sa.ForeignKeyConstraint(
            ["non_rigid_motion_correction_pk"],
            ["non_rigid_motion_correction.id"],
            name=op.f("fk_block_non_rigid_motion_correction_pk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["shifts_pk"], ["stored_array.id"], name=op.f("fk_block_shifts_pk"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_block")),
        sa.UniqueConstraint(
            "non_rigid_motion_correction_pk", "block_id", name=op.f("uq_block_non_rigid_motion_correction_pk")
        ),
    )
    op.create_table(
        "fluorescence_trace",
        sa.Column("array_row", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fluorescence_pk", sa.Integer(), nullable=False),
        sa.Column("mask_pk", sa.Integer(), nullable=False),
        sa.Column("fluorescence_channel_pk", sa.Integer(), nullable=False),
        sa.Column("array_pk", sa.Integer(), nullable=False),
        sa.Column("neuropil_fluorescence_pk", sa.Integer(), nullable=True),
        sa.Column("denoised_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["array_pk"], ["stored_array.id"], name=op.f("fk_fluorescence_trace_array_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["denoised_pk"], ["stored_array.id"], name=op.f("fk_fluorescence_trace_denoised_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["fluorescence_channel_pk"],
            ["channel.id"],
            name=op.f("fk_fluorescence_trace_fluorescence_channel_pk"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["fluorescence_pk"],
            ["fluorescence.id"],
            name=op.f("fk_fluorescence_trace_fluorescence_pk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["mask_pk"], ["mask.id"], name=op.f("fk_fluorescence_trace_mask_pk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["neuropil_fluorescence_pk"],
            ["stored_array.id"],
            name=op.f("fk_fluorescence_trace_neuropil_fluorescence_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fluorescence_trace")),
        sa.UniqueConstraint(
            "fluorescence_pk", "mask_pk", "fluorescence_channel_pk", name=op.f("uq_fluorescence_trace_fluorescence_pk")
        ),
    )
    with op.batch_alter_table("fluorescence_trace", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_fluorescence_trace_mask_pk"), ["mask_pk"], unique=False)

    op.create_table(
        "mask_classification_type",
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mask_classification_pk", sa.Integer(), nullable=False),
        sa.Column("mask_pk", sa.Integer(), nullable=False),
        sa.Column("mask_type_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mask_classification_pk"],
            ["mask_classification.id"],
            name=op.f("fk_mask_classification_type_mask_classification_pk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["mask_pk"], ["mask.id"], name=op.f("fk_mask_classification_type_mask_pk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["mask_type_pk"],
            ["mask_type.id"],
            name=op.f("fk_mask_classification_type_mask_type_pk"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mask_classification_type")),
        sa.UniqueConstraint(
            "mask_classification_pk", "mask_pk", name=op.f("uq_mask_classification_type_mask_classification_pk")
        ),
    )
    with op.batch_alter_table("mask_classification_type", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mask_classification_type_mask_pk"), ["mask_pk"], unique=False)

    op.create_table(
        "quality_metrics",
        sa.Column("snr", sa.Float(), nullable=True),
        sa.Column("r_value", sa.Float(), nullable=True),
        sa.Column("cnn_pred", sa.Float(), nullable=True),
        sa.Column("skewness", sa.Float(), nullable=True),
        sa.Column("variance", sa.Float(), nullable=True),
        sa.Column("npix", sa.Integer(), nullable=False),
        sa.Column("baseline", sa.Float(), nullable=True),
        sa.Column("noise", sa.Float(), nullable=True),
        sa.Column("decay_time_s", sa.Float(), nullable=True),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mask_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["mask_pk"], ["mask.id"], name=op.f("fk_quality_metrics_mask_pk"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_metrics")),
        sa.UniqueConstraint("mask_pk", name=op.f("uq_quality_metrics_mask_pk")),
    )
    op.create_table(
        "activity_trace",
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("array_row", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("activity_pk", sa.Integer(), nullable=False),
        sa.Column("fluorescence_trace_pk", sa.Integer(), nullable=False),
        sa.Column("array_pk", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["activity_pk"], ["activity.id"], name=op.f("fk_activity_trace_activity_pk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["array_pk"], ["stored_array.id"], name=op.f("fk_activity_trace_array_pk"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["fluorescence_trace_pk"],
            ["fluorescence_trace.id"],
            name=op.f("fk_activity_trace_fluorescence_trace_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity_trace")),
        sa.UniqueConstraint("activity_pk", "fluorescence_trace_pk", name=op.f("uq_activity_trace_activity_pk")),
    )
    with op.batch_alter_table("activity_trace", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_activity_trace_fluorescence_trace_pk"), ["fluorescence_trace_pk"], unique=False
        )


def downgrade() -> None:
    """Go back to the one before; its rows are lost."""
    with op.batch_alter_table("activity_trace", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_activity_trace_fluorescence_trace_pk"))

    op.drop_table("activity_trace")
    op.drop_table("quality_metrics")
    with op.batch_alter_table("mask_classification_type", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_mask_classification_type_mask_pk"))

    op.drop_table("mask_classification_type")
    with op.batch_alter_table("fluorescence_trace", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_fluorescence_trace_mask_pk"))

    op.drop_table("fluorescence_trace")
    op.drop_table("block")
    op.drop_table("rigid_motion_correction")
    op.drop_table("non_rigid_motion_correction")
    op.drop_table("motion_correction_summary")
    op.drop_table("mask_classification")
    op.drop_table("mask")
    op.drop_table("segmentation")
    op.drop_table("motion_correction")
    op.drop_table("fluorescence")
    op.drop_table("curation_unit")
    op.drop_table("activity")
    op.drop_table("curation")
    with op.batch_alter_table("processing", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_processing_publication_pk"))

    op.drop_table("processing")
    op.drop_table("recording_file")
    with op.batch_alter_table("processing_task", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_processing_task_paramset_pk"))

    op.drop_table("processing_task")
    op.drop_table("recording_timestamps")
    op.drop_table("recording_location")
    with op.batch_alter_table("recording_info", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_recording_info_content_digest"))

    op.drop_table("recording_info")
    op.drop_table("recording_config")
    op.drop_table("note")
    op.drop_table("head_orientation")
    with op.batch_alter_table("session_experimenter", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_session_experimenter_user_pk"))

    op.drop_table("session_experimenter")
    op.drop_table("session_directory")
    op.drop_table("recording")
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_session_project_pk"))

    op.drop_table("session")
    op.drop_table("user")
    op.drop_table("subject")
    op.drop_table("stored_array")
    op.drop_table("processing_param_set")
    op.drop_table("location")
    op.drop_table("strain")
    op.drop_table("species")
    op.drop_table("source")
    op.drop_table("publication")
    op.drop_table("protocol")
    op.drop_table("project")
    op.drop_table("processing_method")
    op.drop_table("mask_type")
    op.drop_table("mask_classification_method")
    op.drop_table("line")
    op.drop_table("lab")
    op.drop_table("device")
    op.drop_table("database_identity")
    op.drop_table("channel")
    op.drop_table("anatomical_location")
    op.drop_table("activity_extraction_method")
    op.drop_table("acquisition_software")
