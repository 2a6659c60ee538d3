-- The first shape of an account's database. Ids of rows stay inside; what the
-- rest of Parley names things by is in unique columns.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE vals (
    namespace TEXT NOT NULL,
    key       TEXT NOT NULL,
    value     BLOB NOT NULL,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;

CREATE TABLE contacts (
    user         TEXT PRIMARY KEY,
    state        INTEGER NOT NULL,
    before       INTEGER NOT NULL,
    nickname     TEXT NOT NULL,
    display_name TEXT NOT NULL,
    avatar       BLOB,
    greeting     TEXT NOT NULL,
    devices      TEXT NOT NULL, -- JSON
    verified     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL
) WITHOUT ROWID;

-- A deleted chat leaves its row (there = 0) with its depth, and its logs with
-- their heads, so that it goes on counting when it is made again.
CREATE TABLE chats (
    id         INTEGER PRIMARY KEY,
    chat       TEXT NOT NULL UNIQUE,
    there      INTEGER NOT NULL DEFAULT 1,
    title      TEXT NOT NULL,
    muted      INTEGER NOT NULL,
    pinned     INTEGER NOT NULL,
    draft      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    membership INTEGER NOT NULL DEFAULT 0,
    members    TEXT NOT NULL DEFAULT '[]', -- JSON
    last       BLOB,                       -- newest message
    last_order BLOB,                       -- its place
    last_at    INTEGER NOT NULL,
    unread     INTEGER NOT NULL DEFAULT 0,
    read       BLOB NOT NULL DEFAULT x'',
    depth      INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE memberships (
    chat    INTEGER NOT NULL,
    version INTEGER NOT NULL,
    members TEXT NOT NULL, -- JSON
    cutoffs TEXT NOT NULL, -- JSON
    PRIMARY KEY (chat, version)
) WITHOUT ROWID;

-- The vector of each log is kept here and never worked out from its entries.
CREATE TABLE logs (
    id     INTEGER PRIMARY KEY,
    chat   INTEGER NOT NULL,
    device BLOB NOT NULL,
    epoch  INTEGER NOT NULL,
    author TEXT NOT NULL DEFAULT '',
    upto   INTEGER NOT NULL DEFAULT 0,
    beyond BLOB NOT NULL DEFAULT x'', -- first, last: 8 B BE each
    open   INTEGER NOT NULL DEFAULT 0, -- entries that are new or waiting
    UNIQUE (chat, device, epoch)
);
CREATE INDEX logs_open ON logs (chat) WHERE open > 0;

CREATE TABLE entries (
    id        INTEGER PRIMARY KEY, -- ascends in the order of arrival
    log       INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    packet    BLOB NOT NULL,
    type      TEXT NOT NULL,
    state     INTEGER NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 0,
    dropped   INTEGER NOT NULL DEFAULT 0,
    reason    INTEGER NOT NULL DEFAULT 0,
    text      TEXT NOT NULL DEFAULT '',
    size      INTEGER NOT NULL, -- bytes of content
    raw       BLOB NOT NULL,
    signature BLOB,
    content   BLOB
);
CREATE UNIQUE INDEX entries_number ON entries (log, number);
CREATE INDEX entries_packet ON entries (packet);
CREATE INDEX entries_open ON entries (log, number, state, type, size) WHERE state IN (1, 5);
CREATE INDEX entries_stub ON entries (log, number) WHERE state = 3;

CREATE TABLE peer_heads (
    log    INTEGER NOT NULL,
    user   TEXT NOT NULL,
    device BLOB NOT NULL,
    upto   INTEGER NOT NULL,
    PRIMARY KEY (log, user, device)
) WITHOUT ROWID;

CREATE TABLE refused (
    log    INTEGER NOT NULL,
    number INTEGER NOT NULL,
    user   TEXT NOT NULL,
    reason INTEGER NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (log, number, user)
) WITHOUT ROWID;

CREATE TABLE registers (
    chat      INTEGER NOT NULL,
    author    TEXT NOT NULL,
    name      TEXT NOT NULL,
    device    BLOB NOT NULL,
    value     BLOB,
    version   INTEGER NOT NULL,
    raw       BLOB,
    signature BLOB,
    PRIMARY KEY (chat, author, name)
) WITHOUT ROWID;

-- A message's row id ascends with the time it was sent (see slot in search.go),
-- so that the newest hits of a search are those with the highest row ids.
CREATE TABLE messages (
    id       INTEGER PRIMARY KEY,
    message  BLOB NOT NULL,
    chat     INTEGER NOT NULL,
    place    BLOB NOT NULL,
    flags    INTEGER NOT NULL, -- 1 own, 2 notifies, 4 edited, 8 deleted
    author   TEXT NOT NULL,
    plugin   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    sent_at  INTEGER NOT NULL,
    log      INTEGER,
    number   INTEGER,
    reply_to BLOB,
    body     TEXT NOT NULL,
    search   TEXT NOT NULL,
    data     BLOB,
    card     BLOB
);
CREATE UNIQUE INDEX messages_message ON messages (message);
CREATE INDEX messages_place ON messages (chat, place, flags);
CREATE INDEX messages_entry ON messages (log, number) WHERE log IS NOT NULL;

CREATE TABLE annotations (
    message BLOB NOT NULL,
    kind    TEXT NOT NULL,
    author  TEXT NOT NULL,
    chat    INTEGER NOT NULL,
    plugin  TEXT NOT NULL,
    value   BLOB,
    search  TEXT NOT NULL,
    PRIMARY KEY (message, kind, author)
) WITHOUT ROWID;
CREATE INDEX annotations_chat ON annotations (chat);

CREATE TABLE invocations (
    id     BLOB PRIMARY KEY,
    plugin TEXT NOT NULL,
    action TEXT NOT NULL,
    result BLOB,
    sent   BLOB, -- 16 B each
    at     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX invocations_at ON invocations (at);

-- words holds the longer words of the index, to find those that begin with what
-- is searched for.
CREATE TABLE words (
    word TEXT PRIMARY KEY
) WITHOUT ROWID;

-- The tokens come from package words, separated by spaces; row ids are those of
-- messages.
CREATE VIRTUAL TABLE search USING fts5 (
    tokens, content = '', contentless_delete = 1, detail = 'none', tokenize = 'ascii'
);
