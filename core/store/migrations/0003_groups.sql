-- Groups: what a member list says beside its members, and which entries of a log
-- wait for lists.

ALTER TABLE memberships ADD COLUMN merged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE memberships ADD COLUMN history INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN history INTEGER NOT NULL DEFAULT 0; -- of the present list
ALTER TABLE logs ADD COLUMN waiting BLOB NOT NULL DEFAULT x'';   -- first, last: 8 B BE each
