-- Groups: what a member list says beside its members, and under which lists the
-- entries of a log were written.

ALTER TABLE memberships ADD COLUMN merged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE memberships ADD COLUMN history INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN history INTEGER NOT NULL DEFAULT 0; -- of the present list

-- Not of direct chats, which have one list.
CREATE TABLE stamps (
    log     INTEGER NOT NULL,
    version INTEGER NOT NULL,
    last    INTEGER NOT NULL, -- number of the last entry under it
    PRIMARY KEY (log, version)
) WITHOUT ROWID;
