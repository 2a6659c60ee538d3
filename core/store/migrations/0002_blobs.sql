-- Files, pictures, folders: what is shared and fetched. Their bytes are not in
-- here.

CREATE TABLE blobs (
    id         BLOB PRIMARY KEY,
    chat       INTEGER, -- NULL while prepared
    message    BLOB,
    plugin     TEXT NOT NULL,
    author     TEXT NOT NULL,
    device     BLOB NOT NULL,
    own        INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    name       TEXT NOT NULL,
    folder     INTEGER NOT NULL,
    files      INTEGER NOT NULL,
    size       INTEGER NOT NULL,
    index_size INTEGER NOT NULL,
    path       TEXT NOT NULL,
    destination TEXT NOT NULL,
    stamp      BLOB,
    root       BLOB,
    manifest   BLOB,
    signature  BLOB,
    told       INTEGER NOT NULL,
    done       INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX blobs_created ON blobs (created_at, id);
CREATE INDEX blobs_chat ON blobs (chat, created_at, id);
CREATE INDEX blobs_message ON blobs (message) WHERE message IS NOT NULL;
CREATE INDEX blobs_active ON blobs (created_at, id) WHERE state < 6;
CREATE INDEX blobs_untold ON blobs (plugin, created_at, id) WHERE NOT told;
