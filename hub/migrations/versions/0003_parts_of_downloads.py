"""The first byte of what was asked of a download"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("apk_download_events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("first_byte", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("apk_download_events", schema=None) as batch_op:
        batch_op.drop_column("first_byte")
